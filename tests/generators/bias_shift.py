"""Makes a network whose weight rounding errors shift the means of its activations.

Half of the channels between its layers carry the signal; the other half are pedestals, which hardly vary around 3 (Relu6 behind a
BatchNorm with a small gamma). The weights that read pedestals are all positive and less than half a step of an 8-bit tensor whose range a few
outliers set, so that rounding to nearest makes zeros of them: every output is shifted by the same amount for every sample. That is the
error that bias correction is for (Nagel et al. 2019, section 3.2).

Run in this folder: python3 bias_shift.py (needs numpy and onnx). Equal seeds give equal files.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).resolve().parent.parent / "models" / "bias_shift"
SIZE = 16
CALIBRATION, EVALUATION = 128, 256
EPSILON = 1e-5
# Pedestal weights, in steps of the folded tensor.
STEPS = (0.25, 0.45)
# An outlier, in standard deviations of the other weights.
OUTLIER = 8.0

random = np.random.default_rng(2019)


def images(count):
    """Smooth random colour patterns, uint8 [count, 3, SIZE, SIZE]."""
    y, x = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    result = np.zeros((count, 3, SIZE, SIZE))
    for _ in range(4):
        frequency = random.uniform(0.1, 0.9, (2, count, 1, 1, 1))
        phase = random.uniform(0, 2 * np.pi, (count, 3, 1, 1))
        result += np.sin(frequency[0] * y + frequency[1] * x + phase)
    result += 0.3 * random.standard_normal(result.shape)
    return np.clip(128 + 40 * result, 0, 255).round().astype(np.uint8)


def conv(x, weights, groups, padding):
    """A convolution with stride 1, NCHW and OIHW."""
    kernel = weights.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    if groups == 1:
        return np.einsum("nchwij,ocij->nohw", windows, weights, optimize=True)
    return np.einsum("nchwij,cij->nchw", windows, weights[:, 0], optimize=True)


class Builder:
    def __init__(self, x):
        self.x = x
        self.name = "input"
        self.nodes = []
        self.weights = []

    def constant(self, name, values):
        self.weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def block(self, name, outputs, kernel, groups=1):
        """Convolution, BatchNorm with the statistics of the data, Relu6; the second half of the outputs are pedestals."""
        inputs = self.x.shape[1]
        shape = (outputs, inputs // groups, kernel, kernel)
        weights = random.standard_normal(shape)
        pedestals = np.arange(outputs) >= outputs // 2
        gamma = np.where(pedestals, 0.08, random.uniform(0.8, 1.2, outputs))
        beta = np.where(pedestals, 3.0, random.uniform(0.3, 1.2, outputs))
        reads_pedestals = groups == 1 and self.nodes
        if reads_pedestals:
            weights[:, inputs // 2 :] = 0.0
            for output in range(outputs // 2):
                weights[output, output % (inputs // 2), 0, 0] = OUTLIER * random.choice([-1, 1])
        y = conv(self.x, weights, groups, kernel // 2)
        if reads_pedestals:
            factor = gamma / np.sqrt(y.var((0, 2, 3)) + EPSILON)
            step = np.abs(weights * factor[:, None, None, None]).max() / 127
            small = random.uniform(*STEPS, (outputs, inputs - inputs // 2, kernel, kernel))
            weights[:, inputs // 2 :] = small * step / factor[:, None, None, None]
            y = conv(self.x, weights, groups, kernel // 2)
        mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
        attributes = {"group": groups, "pads": [kernel // 2] * 4, "kernel_shape": [kernel] * 2}
        w = self.constant(f"{name}.weight", weights)
        self.nodes.append(helper.make_node("Conv", [self.name, w], [name], name=name, **attributes))
        statistics = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}
        names = [self.constant(f"{name}_bn.{key}", values) for key, values in statistics.items()]
        norm = helper.make_node("BatchNormalization", [name, *names], [f"{name}_bn"], name=f"{name}_bn", epsilon=EPSILON)
        bounds = [self.constant(f"{name}.{bound}", value) for bound, value in (("min", 0.0), ("max", 6.0))]
        clip = helper.make_node("Clip", [f"{name}_bn", *bounds], [f"{name}_relu6"], name=f"{name}_relu6")
        self.nodes += [norm, clip]
        scale = (gamma / np.sqrt(variance + EPSILON))[:, None, None]
        self.x = np.clip((y - mean[:, None, None]) * scale + beta[:, None, None], 0, 6)
        self.name = f"{name}_relu6"

    def classifier(self, classes):
        channels = self.x.shape[1]
        weights = random.standard_normal((classes, channels)) / np.sqrt(channels)
        w, b = self.constant("fc.weight", weights), self.constant("fc.bias", -weights @ self.x.mean((0, 2, 3)))
        self.nodes += [
            helper.make_node("GlobalAveragePool", [self.name], ["pool"], name="pool"),
            helper.make_node("Flatten", ["pool"], ["flatten"], name="flatten"),
            helper.make_node("Gemm", ["flatten", w, b], ["logits"], name="fc", transB=1),
        ]


def main():
    calibration, evaluation = images(CALIBRATION), images(EVALUATION)
    builder = Builder(calibration / 255.0)
    builder.block("stem", 16, 3)
    builder.block("dw1", 16, 3, groups=16)
    builder.block("pw1", 32, 1)
    builder.block("dw2", 32, 3, groups=32)
    builder.block("pw2", 32, 1)
    builder.classifier(10)
    graph = helper.make_graph(
        builder.nodes,
        "bias_shift",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        builder.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="fewbit")
    model.ir_version = 8
    onnx.checker.check_model(model)
    FOLDER.mkdir(parents=True, exist_ok=True)
    onnx.save(model, FOLDER / "bias_shift.onnx")
    np.savez_compressed(FOLDER / "bias_shift.npz", x_calibration=calibration, x_evaluation=evaluation)


if __name__ == "__main__":
    main()
