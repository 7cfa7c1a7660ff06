#!/usr/bin/env python3
"""Golden vectors of the native integer arithmetic.

Each vector is one operator with its parameters, inputs and the bytes that `docs/arithmetic.md` demands, computed here with
exact rationals and in the *unfolded* form: real differences `x - zero_point` and rounding of a fraction, where the
kernels work on raw bytes, folded biases and shifts. A wrong folding or a wrong tie cannot be wrong in both.

    python3 tests/vectors/generate.py            rewrites every vector beside this file
    python3 tests/vectors/generate.py --check    exits with 1 when a vector differs from what would be written

Only the standard library is needed. The same Python text gives the same files on every machine.
"""

import itertools
import math
import os
import pathlib
import sys
from fractions import Fraction

VERSION = 1
HERE = pathlib.Path(__file__).resolve().parent
HALF = Fraction(1, 2)
ACTIVATION = (-128, 127)


# --- arithmetic --------------------------------------------------------------------------------------------------------


def rounded(value):
    """Nearest integer, ties towards plus infinity: the only rounding rule."""
    return math.floor(Fraction(value) + HALF)


def clamp(value, low, high):
    return min(max(value, low), high)


def exp_of(exponent):
    """e^exponent for a rational exponent <= 0, as a rational with an error far below 2^-60."""
    # e^-x = 1 / e^x: the series of e^x has positive terms only, so that nothing cancels.
    x = -Fraction(exponent)
    total, term, n = Fraction(0), Fraction(1), 0
    while term > Fraction(1, 2**80):
        total += term
        n += 1
        term = term * x / n
        # The terms' denominators grow quickly; 120 bits are plenty.
        if term > Fraction(1, 2**80):
            term = Fraction(rounded(term * 2**120), 2**120)
    return 1 / total


def requantization(factors):
    """Section 3: the common pre_shift and the multipliers of the real factors M."""
    for pre_shift in range(31):
        multipliers = [rounded(factor * 2 ** (32 - pre_shift)) for factor in factors]
        if all(multiplier < 2**31 for multiplier in multipliers):
            return pre_shift, multipliers
    raise ValueError("a factor is too large")


class Requant:
    """Multipliers, pre_shift and the output's range; `clamps` is one pair or a pair a channel."""

    def __init__(self, pre_shift, multipliers, clamps=(ACTIVATION,)):
        self.pre_shift = pre_shift
        self.multipliers = list(multipliers)
        self.clamps = [tuple(pair) for pair in clamps]

    @classmethod
    def of(cls, factors, clamps=(ACTIVATION,)):
        return cls(*requantization(factors), clamps)

    def apply(self, acc, which, channel, zero_point):
        """Equations (2) to (4) on a rational; `which` is the multiplier's index."""
        assert abs(acc) * 2**self.pre_shift < 2**31
        real = Fraction(acc * 2**self.pre_shift) * Fraction(self.multipliers[which], 2**32)
        low, high = self.clamps[channel if len(self.clamps) > 1 else 0]
        return clamp(rounded(real) + zero_point, low, high)

    def fields(self):
        return {"pre_shift": self.pre_shift, "multipliers": self.multipliers, "clamps": [list(pair) for pair in self.clamps]}


class Tensor:
    """`[h, w, c]` of int8 with a zero point."""

    def __init__(self, shape, zero_point=0, data=None):
        self.shape = tuple(shape)
        self.zero_point = zero_point
        self.data = data
        if data is not None:
            assert len(data) == math.prod(shape) and all(-128 <= value <= 127 for value in data), (shape, data)

    def raw(self, y, x, k):
        _, width, channels = self.shape
        return self.data[(y * width + x) * channels + k]

    def real(self, y, x, k):
        """The value in units of the scale; 0 outside of the tensor."""
        height, width, _ = self.shape
        if 0 <= y < height and 0 <= x < width:
            return self.raw(y, x, k) - self.zero_point
        return 0

    def fields(self):
        return {"shape": list(self.shape), "zero_point": self.zero_point, "data": self.data}


class Window:
    def __init__(self, kernel, stride=(1, 1), dilation=(1, 1), padding=(0, 0, 0, 0)):
        self.kernel, self.stride, self.dilation = kernel, stride, dilation
        self.padding = padding  # top, left, bottom, right

    def output(self, shape):
        def size(axis):
            extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
            return (shape[axis] + self.padding[axis] + self.padding[axis + 2] - extent) // self.stride[axis] + 1

        return size(0), size(1)

    def taps(self, oy, ox):
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                y = oy * self.stride[0] + ky * self.dilation[0] - self.padding[0]
                x = ox * self.stride[1] + kx * self.dilation[1] - self.padding[1]
                yield ky, kx, y, x

    def fields(self):
        return {
            "kernel": list(self.kernel),
            "stride": list(self.stride),
            "dilation": list(self.dilation),
            "padding": list(self.padding),
        }


# --- operators ---------------------------------------------------------------------------------------------------------


def check_bound(products, weight_type, biases, pre_shift):
    """Equation (5)."""
    limit = {"int8": 127, "int4": 7}[weight_type]
    for bias in biases:
        assert (products * limit * 128 + abs(bias)) * 2**pre_shift < 2**31, (products, bias, pre_shift)


def conv_2d(x, out_c, window, weights, biases, requant, zero_point, groups=1, weight_type="int8"):
    """`weights[o][ky][kx][i]` flat; `biases` are the unfolded ones, in units of `s_x * s_w`."""
    inner = x.shape[2] // groups
    kernel_h, kernel_w = window.kernel
    row = kernel_h * kernel_w * inner
    assert len(weights) == out_c * row and len(biases) == out_c
    out_h, out_w = window.output(x.shape)
    data = []
    for oy, ox, o in itertools.product(range(out_h), range(out_w), range(out_c)):
        group = o // (out_c // groups)
        acc = biases[o]
        for ky, kx, y, col in window.taps(oy, ox):
            for i in range(inner):
                acc += x.real(y, col, group * inner + i) * weights[o * row + (ky * kernel_w + kx) * inner + i]
        data.append(requant.apply(acc, o, o, zero_point))
    folded = [biases[o] - x.zero_point * sum(weights[o * row : (o + 1) * row]) for o in range(out_c)]
    check_bound(row, weight_type, folded, requant.pre_shift)
    op = {"kind": "conv_2d", **window.fields(), "groups": groups, "weight_type": weight_type, "weights": weights, "bias": folded}
    return {**op, **requant.fields()}, [x], Tensor((out_h, out_w, out_c), zero_point, data)


def depthwise_conv_2d(x, depth_multiplier, window, weights, biases, requant, zero_point, weight_type="int8"):
    """`weights[ky][kx][o]` flat."""
    out_c = x.shape[2] * depth_multiplier
    kernel_h, kernel_w = window.kernel
    assert len(weights) == kernel_h * kernel_w * out_c and len(biases) == out_c
    out_h, out_w = window.output(x.shape)
    data = []
    for oy, ox, o in itertools.product(range(out_h), range(out_w), range(out_c)):
        acc = biases[o]
        for ky, kx, y, col in window.taps(oy, ox):
            acc += x.real(y, col, o // depth_multiplier) * weights[(ky * kernel_w + kx) * out_c + o]
        data.append(requant.apply(acc, o, o, zero_point))
    folded = [biases[o] - x.zero_point * sum(weights[o::out_c]) for o in range(out_c)]
    check_bound(kernel_h * kernel_w, weight_type, folded, requant.pre_shift)
    op = {"kind": "depthwise_conv_2d", **window.fields(), "weight_type": weight_type, "weights": weights, "bias": folded}
    return {**op, **requant.fields()}, [x], Tensor((out_h, out_w, out_c), zero_point, data)


def fully_connected(x, out_c, weights, biases, requant, zero_point, weight_type="int8"):
    inner = math.prod(x.shape)
    assert len(weights) == out_c * inner and len(biases) == out_c
    data, folded = [], []
    for o in range(out_c):
        row = weights[o * inner : (o + 1) * inner]
        acc = biases[o] + sum((value - x.zero_point) * weight for value, weight in zip(x.data, row))
        data.append(requant.apply(acc, o, o, zero_point))
        folded.append(biases[o] - x.zero_point * sum(row))
    check_bound(inner, weight_type, folded, requant.pre_shift)
    op = {"kind": "fully_connected", "weight_type": weight_type, "weights": weights, "bias": folded}
    return {**op, **requant.fields()}, [x], Tensor((1, 1, out_c), zero_point, data)


def inside(x, window, oy, ox):
    return [(y, col) for _, _, y, col in window.taps(oy, ox) if 0 <= y < x.shape[0] and 0 <= col < x.shape[1]]


def max_pool(x, window, low, high):
    out_h, out_w = window.output(x.shape)
    data = []
    for oy, ox, k in itertools.product(range(out_h), range(out_w), range(x.shape[2])):
        data.append(clamp(max(x.raw(y, col, k) for y, col in inside(x, window, oy, ox)), low, high))
    op = {"kind": "max_pool", **window.fields(), "min": low, "max": high}
    return op, [x], Tensor((out_h, out_w, x.shape[2]), x.zero_point, data)


def average_pool(x, window, scale_ratio, zero_point, per_count, clamps=(ACTIVATION,)):
    """`scale_ratio` is `s_x / s_y`."""
    area = window.kernel[0] * window.kernel[1]
    if per_count:
        requant = Requant.of([scale_ratio / (j + 1) for j in range(area)], clamps)
    else:
        requant = Requant.of([scale_ratio / area], clamps)
    assert area * 2 * 128 * 2**requant.pre_shift < 2**31
    out_h, out_w = window.output(x.shape)
    data = []
    for oy, ox, k in itertools.product(range(out_h), range(out_w), range(x.shape[2])):
        positions = inside(x, window, oy, ox)
        acc = sum(x.real(y, col, k) for y, col in positions)
        data.append(requant.apply(acc, len(positions) - 1 if per_count else 0, k, zero_point))
    op = {"kind": "average_pool", **window.fields(), "multiplier_per_count": per_count, **requant.fields()}
    return op, [x], Tensor((out_h, out_w, x.shape[2]), zero_point, data)


def pairs(a, b):
    """The elements of `a` with their partners of `b`, in real units: same shape, a value per channel, or one value."""
    height, width, channels = a.shape
    for y, x, k in itertools.product(range(height), range(width), range(channels)):
        if b.shape == a.shape:
            yield k, a.real(y, x, k), b.real(y, x, k)
        else:
            yield k, a.real(y, x, k), b.real(0, 0, k if b.shape[2] > 1 else 0)


def add(a, b, a_multiplier, b_multiplier, shift, zero_point, low=-128, high=127):
    assert abs(a_multiplier) <= 32767 and abs(b_multiplier) <= 32767 and 1 <= shift <= 22
    data = []
    for _, first, second in pairs(a, b):
        value = Fraction(first * a_multiplier + second * b_multiplier, 2**shift)
        data.append(clamp(rounded(value) + zero_point, low, high))
    op = {"kind": "add", "a_multiplier": a_multiplier, "b_multiplier": b_multiplier, "shift": shift, "min": low, "max": high}
    return op, [a] if a is b else [a, b], Tensor(a.shape, zero_point, data)


def add_of_scales(a, b, a_ratio, b_ratio, zero_point, low=-128, high=127):
    """`a_ratio = s_a / s_y`; a negative `b_ratio` subtracts."""
    for shift in range(22, 0, -1):
        a_multiplier = rounded(a_ratio * 2**shift)
        b_multiplier = rounded(abs(b_ratio) * 2**shift) * (1 if b_ratio >= 0 else -1)
        if a_multiplier <= 32767 and abs(b_multiplier) <= 32767:
            return add(a, b, a_multiplier, b_multiplier, shift, zero_point, low, high)
    raise ValueError("a scale is too large")


def extremum(kind, a, b, a_multiplier, b_multiplier, shift, zero_point, low=-128, high=127):
    """The larger or smaller of two reals, of which the chosen one is rounded."""
    assert abs(a_multiplier) <= 32768 and abs(b_multiplier) <= 32768 and 1 <= shift <= 22
    choose = {"max": max, "min": min}[kind]
    data = []
    for _, first, second in pairs(a, b):
        value = choose(Fraction(first * a_multiplier, 2**shift), Fraction(second * b_multiplier, 2**shift))
        data.append(clamp(rounded(value) + zero_point, low, high))
    op = {"kind": kind, "a_multiplier": a_multiplier, "b_multiplier": b_multiplier, "shift": shift, "min": low, "max": high}
    return op, [a] if a is b else [a, b], Tensor(a.shape, zero_point, data)


def mul(a, b, requant, zero_point):
    assert 255 * 255 * 2**requant.pre_shift < 2**31
    data = [requant.apply(first * second, 0, k, zero_point) for k, first, second in pairs(a, b)]
    return {"kind": "mul", **requant.fields()}, [a] if a is b else [a, b], Tensor(a.shape, zero_point, data)


def lut(x, function, x_scale, y_scale, zero_point):
    table = []
    for value in range(-128, 128):
        real = function(x_scale * (value - x.zero_point))
        table.append(clamp(rounded(Fraction(real) / y_scale) + zero_point, -128, 127))
    op = {"kind": "lut", "table": table}
    return op, [x], Tensor(x.shape, zero_point, [table[value + 128] for value in x.data])


def softmax(x, scale):
    table = [rounded(2**20 * exp_of(-scale * d)) for d in range(256)]
    assert table[0] == 2**20
    channels = x.shape[2]
    data = []
    for start in range(0, len(x.data), channels):
        row = x.data[start : start + channels]
        terms = [table[max(row) - value] for value in row]
        data += [min(rounded(Fraction(256 * term, sum(terms))) - 128, 127) for term in terms]
    return {"kind": "softmax", "table": table}, [x], Tensor(x.shape, -128, data)


def scaled_softmax(x, scale, steps):
    table = [rounded(2**20 * exp_of(-scale * d)) for d in range(256)]
    channels = x.shape[2]
    data = []
    for start in range(0, len(x.data), channels):
        row = x.data[start : start + channels]
        terms = [table[max(row) - value] for value in row]
        for term in terms:
            exact = Fraction(steps * term, sum(terms))
            # The specified factor of a row is rounded, which may move a value by 2^-13: none is that close to a tie.
            assert rounded(exact - Fraction(1, 2**13)) == rounded(exact + Fraction(1, 2**13))
            data.append(min(rounded(exact) - 128, 127))
    return {"kind": "scaled_softmax", "table": table, "steps": steps}, [x], Tensor(x.shape, -128, data)


def reshape(x, shape):
    return {"kind": "reshape"}, [x], Tensor(shape, x.zero_point, list(x.data))


def transpose(x, dims, perm, shape):
    moved = {}
    for index, value in zip(itertools.product(*(range(d) for d in dims)), x.data):
        moved[tuple(index[axis] for axis in perm)] = value
    data = [moved[key] for key in sorted(moved)]
    return {"kind": "transpose", "dims": list(dims), "perm": list(perm)}, [x], Tensor(shape, x.zero_point, data)


def concat(inputs, axis):
    shape = list(inputs[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in inputs)
    data = []
    for position in itertools.product(*(range(d) for d in shape)):
        at = list(position)
        for tensor in inputs:
            if at[axis] < tensor.shape[axis]:
                data.append(tensor.raw(*at))
                break
            at[axis] -= tensor.shape[axis]
    return {"kind": "concat", "axis": axis}, inputs, Tensor(shape, inputs[0].zero_point, data)


def pad(x, before, after, value):
    shape = tuple(before[axis] + x.shape[axis] + after[axis] for axis in range(3))
    data = []
    for position in itertools.product(*(range(d) for d in shape)):
        at = [position[axis] - before[axis] for axis in range(3)]
        within = all(0 <= at[axis] < x.shape[axis] for axis in range(3))
        data.append(x.raw(*at) if within else value)
    return {"kind": "pad", "before": list(before), "after": list(after), "value": value}, [x], Tensor(shape, x.zero_point, data)


def constant(tensor):
    return {"kind": "constant", "values": tensor.data}, [], tensor


# --- test data ---------------------------------------------------------------------------------------------------------


class Numbers:
    """A linear congruential generator: the same numbers under every Python."""

    def __init__(self, seed):
        self.state = seed * 2862933555777941757 + 3037000493

    def next(self, low, high):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return low + (self.state >> 33) % (high - low + 1)

    def list(self, count, low, high):
        return [self.next(low, high) for _ in range(count)]

    def tensor(self, shape, zero_point=0):
        return Tensor(shape, zero_point, self.list(math.prod(shape), -128, 127))


def leaky_relu(real):
    return real if real >= 0 else real / 10


def hard_swish(real):
    return real * clamp(real + 3, 0, 6) / 6


def vectors():
    """Every vector: (operator, case, what it is there for, the operator's result)."""

    # conv_2d
    n = Numbers(1)
    x = n.tensor((5, 4, 3), -128)
    window = Window((3, 3), (2, 1), (1, 1), (1, 2, 0, 1))
    yield "conv_2d", "border_zero_point_min", "asymmetric border of the real zero, zero_point -128", conv_2d(
        x, 5, window, n.list(5 * 27, -127, 127), n.list(5, -20000, 20000), Requant.of([Fraction(1, 900 + 77 * o) for o in range(5)]), 3
    )
    x = n.tensor((1, 11, 6), 127)
    window = Window((1, 3), (1, 2), (1, 3), (0, 4, 0, 5))
    yield "conv_2d", "one_dimensional_dilated_grouped", "h = 1, dilation, 3 groups, zero_point 127", conv_2d(
        x, 9, window, n.list(9 * 6, -127, 127), n.list(9, -9000, 9000), Requant.of([Fraction(2, 1501)] * 9), -7, groups=3
    )
    x = n.tensor((4, 4, 5), 17)
    yield "conv_2d", "int4_odd_row", "int4 rows of 45 and of 15 values end in an unused nibble", conv_2d(
        x, 3, Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), n.list(3 * 45, -7, 7), n.list(3, -500, 500),
        Requant.of([Fraction(1, 31), Fraction(1, 47), Fraction(1, 59)], ((-128, 127), (-40, 40), (5, 5))), 12, weight_type="int4"
    )
    x = Tensor((1, 2, 4), 0, [1, -1, 3, -3, 5, -5, 7, -7])
    # A multiplier of 2^30 is 1/4, so that twice an odd number is half way.
    yield "conv_2d", "ties", "every result lies half way between two integers", conv_2d(
        x, 4, Window((1, 1)), [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 6, 0, 0, 0, 0, 10], [0, 0, 4, 8], Requant(0, [2**30] * 4), 0
    )
    x = n.tensor((9, 6, 2), 40)
    yield "conv_2d", "int4_dilated_grouped", "dilation 3 x 2, two groups of one channel, int4 rows of six", conv_2d(
        x, 4, Window((3, 2), (2, 3), (3, 2), (2, 0, 1, 3)), n.list(24, -7, 7), n.list(4, -300, 300),
        Requant.of([Fraction(1, 11), Fraction(1, 13), Fraction(1, 15), Fraction(1, 7)]), 127, groups=2, weight_type="int4"
    )
    x = Tensor((1, 1, 4), 5, [127, -128, 127, -128])
    yield "conv_2d", "saturation_pre_shift", "multipliers 0, 1, 2^31 - 1 under pre_shift 3, both ends of the range", conv_2d(
        x, 6, Window((1, 1)),
        [127, -127, 127, -127] * 2 + [-127, 127, -127, 127] * 2 + [1, 0, 0, 0] + [0, 0, 0, 1],
        [0, 0, 0, 0, 3, -3], Requant(3, [2**31 - 1, 1, 2**31 - 1, 0, 2**31 - 1, 2**28 + 1]), -5
    )

    # depthwise_conv_2d
    n = Numbers(2)
    x = n.tensor((4, 5, 3), -128)
    yield "depthwise_conv_2d", "border_stride", "stride 2, asymmetric border, zero_point -128", depthwise_conv_2d(
        x, 1, Window((3, 3), (2, 2), (1, 1), (0, 1, 1, 0)), n.list(27, -127, 127), n.list(3, -9000, 9000),
        Requant.of([Fraction(1, 300), Fraction(1, 555), Fraction(1, 1000)]), -20
    )
    x = n.tensor((3, 3, 3), 64)
    yield "depthwise_conv_2d", "int4_depth_multiplier_3", "int4 taps of 9 values: an unused nibble a tap", depthwise_conv_2d(
        x, 3, Window((2, 3), (1, 1), (1, 1), (1, 1, 0, 1)), n.list(54, -7, 7), n.list(9, -900, 900),
        Requant.of([Fraction(1, 17 + o) for o in range(9)], [(-128 + o, 100 - 9 * o) for o in range(9)]), 33, weight_type="int4"
    )
    x = n.tensor((1, 9, 2), 127)
    yield "depthwise_conv_2d", "one_dimensional_dilated", "h = 1, depth multiplier 2, dilation 2, pre_shift > 0", depthwise_conv_2d(
        x, 2, Window((1, 4), (1, 1), (1, 2), (0, 3, 0, 3)), n.list(16, -2, 2), n.list(4, -9, 9),
        Requant.of([Fraction(3, 4), Fraction(1, 2), Fraction(5, 1), Fraction(1, 7)]), 0
    )

    # fully_connected
    n = Numbers(3)
    x = n.tensor((1, 1, 33), -1)
    yield "fully_connected", "int4_odd_row", "int4 rows of 33 values", fully_connected(
        x, 5, n.list(165, -7, 7), n.list(5, -4000, 4000), Requant.of([Fraction(1, 40 + o) for o in range(5)]), -11, weight_type="int4"
    )
    x = n.tensor((2, 3, 5), 100)
    yield "fully_connected", "flat_input", "an input of three dimensions read as a vector; a range per channel", fully_connected(
        x, 4, n.list(120, -127, 127), n.list(4, -90000, 90000), Requant.of([Fraction(1, 999)] * 4, ((-128, 127), (0, 127), (-128, 0), (9, 9))), 9
    )
    x = Tensor((1, 1, 2), 0, [-128, -128])
    largest = 2**31 - 1 - 2 * 127 * 128
    yield "fully_connected", "accumulator_bound", "biases at the bound (5), both signs, the largest multiplier", fully_connected(
        x, 4, [-127, -127, 127, 127, -127, -127, 127, 127], [largest, -largest, largest, -largest],
        Requant(0, [2**31 - 1, 2**31 - 1, 250, 1]), 0
    )
    x = Tensor((1, 1, 1), -128, [-128])
    yield "fully_connected", "ties_around_zero", "acc * 2^-k on and beside .5 of small integers", fully_connected(
        x, 12, [1] * 12, [-3, -1, 1, 3, -2**31 // 2**9, 2**31 // 2**9, 2**22 + 1, 2**22 - 1, -2**22 - 1, -2**22 + 1, -5, 5],
        Requant(0, [2**30 // 1] * 4 + [2**9] * 6 + [2**30, 2**30]), 1
    )

    # pools
    n = Numbers(4)
    x = n.tensor((5, 5, 3), -128)
    yield "max_pool", "border", "padding never wins, whatever the zero point", max_pool(x, Window((3, 2), (2, 2), (1, 1), (1, 1, 2, 0)), -128, 127)
    x = Tensor((2, 2, 2), 127, [-128] * 8)
    yield "max_pool", "all_smallest", "a window of -128 beside padding stays -128", max_pool(x, Window((2, 2), (1, 1), (1, 1), (1, 1, 1, 1)), -128, 127)
    x = n.tensor((1, 10, 1), 3)
    yield "max_pool", "one_dimensional_clamped", "h = 1 with a fused range", max_pool(x, Window((1, 4), (1, 3), (1, 1), (0, 1, 0, 3)), 3, 50)
    x = n.tensor((4, 5, 2), -100)
    yield "average_pool", "padding_does_not_count", "a multiplier for every count", average_pool(
        x, Window((3, 3), (2, 2), (1, 1), (1, 1, 1, 2)), Fraction(3, 4), 20, True
    )
    x = n.tensor((4, 4, 2), 127)
    yield "average_pool", "padding_counts", "one multiplier, padding is real zeros, zero_point 127", average_pool(
        x, Window((2, 3), (1, 2), (1, 1), (1, 2, 0, 1)), Fraction(9, 8), -128, False, ((-128, 127), (-60, -30))
    )
    x = n.tensor((7, 5, 3), -128)
    yield "average_pool", "global", "the window is the input, equal encodings", average_pool(x, Window((7, 5)), Fraction(1), -128, False)
    x = Tensor((2, 2, 2), 0, [1, -1, 2, -2, 1, -1, 2, -2])
    yield "average_pool", "ties", "means of 3/2, -3/2, 1/2 and -1/2", average_pool(
        x, Window((2, 2), (1, 1), (1, 1), (0, 1, 1, 0)), Fraction(1), 0, True
    )
    n = Numbers(41)
    x = n.tensor((7, 9, 3), 5)
    yield "max_pool", "dilated", "dilation 2 x 3 and padding", max_pool(x, Window((3, 2), (2, 1), (2, 3), (2, 1, 3, 2)), -128, 127)
    x = n.tensor((1, 5, 2), 5)
    yield "max_pool", "astride", "taps six apart on either side of five columns, or one inside", max_pool(
        x, Window((1, 3), (1, 1), (1, 6), (0, 6, 0, 6)), -128, 127
    )
    x = n.tensor((6, 8, 2), -7)
    yield "average_pool", "dilated", "dilation 3 x 2, a multiplier for every count", average_pool(
        x, Window((2, 3), (1, 2), (3, 2), (1, 2, 0, 3)), Fraction(3, 2), 9, True
    )
    yield "average_pool", "dilated_padding_counts", "dilation 3 x 2, one multiplier", average_pool(
        x, Window((2, 3), (1, 2), (3, 2), (1, 2, 0, 3)), Fraction(3, 2), 9, False
    )

    # elementwise
    n = Numbers(5)
    a, b = n.tensor((2, 3, 5), -128), n.tensor((2, 3, 5), 127)
    yield "add", "extreme_zero_points", "zero points -128 and 127", add_of_scales(a, b, Fraction(1, 2), Fraction(1, 3), 1)
    b = n.tensor((1, 1, 5), 9)
    yield "add", "subtract_channel", "a subtraction of one value per channel", add_of_scales(a, b, Fraction(3, 4), Fraction(-7, 5), -3, -3, 127)
    b = n.tensor((1, 1, 1), -30)
    yield "add", "scalar_extreme_multipliers", "one value, multipliers 32767 and -32767, shift 22", add(a, b, 32767, -32767, 22, 0)
    a = n.tensor((1, 1, 16), 0)
    yield "add", "ties_shift_1_itself", "a tensor and itself, halves at every odd element", add(a, a, 1, 0, 1, 0)
    yield "add", "saturation", "everything beyond the range, shift 1", add(a, a, 32767, 32767, 1, 0, -100, 90)
    of_extrema = Numbers(55)
    for kind in ("max", "min"):
        a, b = of_extrema.tensor((2, 3, 5), -128), of_extrema.tensor((2, 3, 5), 127)
        yield kind, "extreme_zero_points", "zero points -128 and 127, scales of 1/2 and 1/3", extremum(kind, a, b, 16384, 10923, 15, 1)
        a, b = of_extrema.tensor((2, 3, 5), 7), of_extrema.tensor((1, 1, 5), 7)
        yield kind, "equal_encodings_channel", "equal encodings, one value per channel: nothing is rounded", extremum(kind, a, b, 16384, 16384, 14, 7)
        b = of_extrema.tensor((1, 1, 1), -30)
        yield kind, "scalar_extreme_multipliers", "one value, multipliers 32767 and -32768, shift 22", extremum(kind, a, b, 32767, -32768, 22, 0)
        a = of_extrema.tensor((1, 1, 16), 0)
        yield kind, "ties_shift_1_itself", "a tensor and itself, halves at every odd element, a narrow range", extremum(kind, a, a, 1, -1, 1, 0, -20, 40)
    a, b = n.tensor((3, 2, 4), -128), n.tensor((3, 2, 4), -128)
    yield "mul", "largest_products", "zero points -128: products up to 255^2", mul(a, b, Requant.of([Fraction(1, 256)]), -128)
    b = n.tensor((1, 1, 4), 127)
    yield "mul", "channel", "one value per channel, zero_point 127, a range per channel", mul(
        a, b, Requant.of([Fraction(1, 200)], ((-128, 127), (-50, 50), (0, 0), (-128, 0))), 64
    )
    b = Tensor((1, 1, 1), 2, [3])
    yield "mul", "scalar_pre_shift", "one value, a factor above 1/2", mul(a, b, Requant.of([Fraction(3, 2)]), -128)
    a = n.tensor((1, 1, 12), 0)
    yield "mul", "square_ties", "a tensor and itself, squares half way", mul(a, a, Requant(1, [2**28]), -100)
    x = Tensor((1, 16, 16), -10, list(range(-128, 128)))
    yield "lut", "leaky_relu_all_values", "every input once", lut(x, leaky_relu, Fraction(1, 20), Fraction(1, 16), -118)
    yield "lut", "hard_swish_all_values", "every input once", lut(x, hard_swish, Fraction(1, 17), Fraction(1, 18), -100)
    x = n.tensor((3, 1, 7), 127)
    yield "lut", "clip_saturating", "a clip beyond the output's range", lut(x, lambda real: clamp(real, -4, 0), Fraction(1, 32), Fraction(1, 40), 0)

    # softmax
    n = Numbers(6)
    yield "softmax", "rows", "six rows of seven", softmax(n.tensor((2, 3, 7), 4), Fraction(1, 16))
    yield "softmax", "one_channel", "a certain event saturates at 127", softmax(n.tensor((1, 3, 1)), Fraction(1, 8))
    yield "softmax", "equal_values", "twelve equal values", softmax(Tensor((1, 1, 12), 0, [-128] * 12), Fraction(1, 8))
    yield "softmax", "steep", "one value far above the others: table entries of 0", softmax(
        Tensor((1, 2, 4), 0, [127, -128, -128, 120, -128, 127, 127, 126]), Fraction(1)
    )
    yield "softmax", "two_tie", "two equal values share: 256 / 2", softmax(Tensor((1, 1, 2), 0, [3, 3]), Fraction(1, 4))
    n = Numbers(61)
    yield "scaled_softmax", "many_values", "two rows of 500, 20000 steps", scaled_softmax(n.tensor((2, 1, 500), 4), Fraction(1, 64), 20000)
    yield "scaled_softmax", "saturating", "outputs above 255 steps saturate", scaled_softmax(n.tensor((1, 3, 5), -9), Fraction(1, 16), 1000)
    yield "scaled_softmax", "fewest_steps", "257 steps", scaled_softmax(n.tensor((2, 2, 6), 0), Fraction(1, 32), 257)
    yield "scaled_softmax", "most_steps", "2047 equal values, 2^19 steps: 256.13 saturates", scaled_softmax(
        Tensor((1, 1, 2047), 0, [7] * 2047), Fraction(1, 8), 2**19
    )

    # data movement
    n = Numbers(7)
    yield "reshape", "flatten", "[2, 3, 4] to [1, 1, 24]", reshape(n.tensor((2, 3, 4), 1), (1, 1, 24))
    yield "reshape", "regroup", "[3, 2, 2] to [1, 4, 3]", reshape(n.tensor((3, 2, 2), -128), (1, 4, 3))
    yield "transpose", "nhwc_to_nchw", "channels outwards", transpose(n.tensor((3, 4, 5)), (1, 3, 4, 5), (0, 3, 1, 2), (5, 3, 4))
    yield "transpose", "channel_shuffle", "two groups of three channels change places", transpose(
        n.tensor((2, 2, 6)), (2, 2, 2, 3), (0, 1, 3, 2), (2, 2, 6)
    )
    yield "transpose", "reverse", "all four axes reversed", transpose(n.tensor((2, 3, 20)), (2, 3, 4, 5), (3, 2, 1, 0), (5, 4, 6))
    yield "concat", "channels", "three inputs along c", concat([n.tensor((2, 3, c), 5) for c in (1, 4, 2)], 2)
    yield "concat", "columns", "two inputs along w", concat([n.tensor((2, w, 3)) for w in (3, 2)], 1)
    yield "concat", "rows", "four inputs along h", concat([n.tensor((h, 2, 3), -128) for h in (1, 2, 1, 3)], 0)
    yield "pad", "space", "rows and columns", pad(n.tensor((2, 3, 2), 7), (1, 0, 0), (2, 3, 0), 7)
    yield "pad", "channels", "a different width at each end of c", pad(n.tensor((2, 2, 3)), (0, 0, 2), (0, 0, 1), -128)
    yield "pad", "all", "every axis", pad(n.tensor((2, 1, 3)), (1, 2, 1), (1, 1, 3), 127)
    yield "constant", "bytes", "the extremes and an odd length", constant(Tensor((1, 3, 5), 0, [-128, 127, 0, -1, 1] * 3))
    yield "constant", "one", "a single byte", constant(Tensor((1, 1, 1), -128, [-77]))
    yield "constant", "channels", "one value per channel", constant(n.tensor((1, 1, 19), 12))


# --- files -------------------------------------------------------------------------------------------------------------


def literal(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        text = "[" + ", ".join(literal(item) for item in value) + "]"
        if len(text) <= 110:
            return text
        lines, line = [], "   "
        for item in value:
            word = f" {literal(item)},"
            if len(line) + len(word) > 110:
                lines.append(line)
                line = "   "
            line += word
        return "[\n" + "\n".join(lines + [line]) + "\n]"
    return str(int(value))


def text_of(operator, why, result):
    op, inputs, output = result
    assert op["kind"] == operator
    assert output.data is not None and all(-128 <= value <= 127 for value in output.data)
    lines = [f"# Written by tests/vectors/generate.py version {VERSION}; edit that, not this.", f'why = "{why}"', "", "[op]"]
    lines += [f"{key} = {literal(value)}" for key, value in op.items()]
    for tensor in inputs:
        lines += ["", "[[inputs]]"] + [f"{key} = {literal(value)}" for key, value in tensor.fields().items()]
    lines += ["", "[output]"] + [f"{key} = {literal(value)}" for key, value in output.fields().items()]
    return "\n".join(lines) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(f"usage: {sys.argv[0]} [--check]")
    wanted = {}
    for operator, case, why, result in vectors():
        path = HERE / operator / f"{case}.toml"
        assert path not in wanted, path
        wanted[path] = text_of(operator, why, result)
    present = set(HERE.glob("*/*.toml"))
    stale = [path for path in wanted if path not in present or path.read_text() != wanted[path]]
    surplus = sorted(present - set(wanted))
    if check:
        for path in sorted(stale) + surplus:
            print(f"differs: {path.relative_to(HERE)}")
        sys.exit(1 if stale or surplus else 0)
    for path in surplus:
        path.unlink()
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(wanted[path])
        os.replace(temporary, path)
    print(f"{len(wanted)} vectors, {len(stale)} rewritten, {len(surplus)} removed")


if __name__ == "__main__":
    main()
