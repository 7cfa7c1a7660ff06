//! Layers at the edges of what the loader lets through, and the first ones beyond.
//!
//! Every weight, input, bias, zero point, multiplier and shift is an extreme, chosen so that the largest intermediate value
//! that a bound allows is met and not only bounded. The first layer beyond differs from one at the edge by one unit.

use fewbit_runtime::LoadError;
use fewbit_runtime::format::program::{
    Add, AveragePool, Clamp, Concat, Conv2d, Extremum, FullyConnected, Lut, MaxPool, Mul, Op, Pad,
    Requant, ScaledSoftmax, Scratch, Softmax, Unary, WeightType, Window,
};

use crate::layer::{Layer, largest_weight};

/// Expected refusal of a layer.
pub type Refusal = fn(&LoadError) -> bool;

/// A layer at an edge.
#[derive(Debug)]
pub struct Edge {
    /// The operator.
    pub operator: &'static str,
    /// Extreme property.
    pub what: String,
    /// The layer, of one operator.
    pub layer: Layer,
    /// The largest `|t|` of equation (2) that it meets; 0 without requantization.
    pub largest_t: u64,
    /// Whether a board has room and time for it.
    pub small: bool,
}

/// A layer beyond an edge.
#[derive(Debug)]
pub struct Beyond {
    /// The operator.
    pub operator: &'static str,
    /// Excessive property.
    pub what: String,
    /// The layer, of one operator.
    pub layer: Layer,
    /// Expected error.
    pub refusal: Refusal,
}

/// The largest accumulator after the shift, equation (5).
const LIMIT: u64 = i32::MAX.unsigned_abs() as u64;

const ALL: Clamp = Clamp::PerTensor {
    min: i8::MIN,
    max: i8::MAX,
};

const UNPADDED: Window = Window {
    kernel_h: 1,
    kernel_w: 1,
    stride_h: 1,
    stride_w: 1,
    dilation_h: 1,
    dilation_w: 1,
    pad_top: 0,
    pad_left: 0,
    pad_bottom: 0,
    pad_right: 0,
};

/// The most products per output whose accumulator fits.
fn most_products(weight_type: WeightType) -> u64 {
    LIMIT / (u64::from(largest_weight(weight_type)) * 128)
}

/// Kinds of layers with weights.
#[derive(Clone, Copy, Debug)]
enum Weighted {
    Conv,
    Depthwise,
    FullyConnected,
}

impl Weighted {
    const ALL: [Self; 3] = [Self::Conv, Self::Depthwise, Self::FullyConnected];

    fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv_2d",
            Self::Depthwise => "depthwise_conv_2d",
            Self::FullyConnected => "fully_connected",
        }
    }
}

/// A layer of one output pixel and four channels: the largest and the smallest accumulator of either sign, with multipliers that are the
/// largest, one, one half and none. Every input is `input`. `[h, w, c]` is the window, of which a depthwise layer has no `c`; `more` goes
/// on top of the largest bias.
fn weighted(
    kind: Weighted,
    [h, w, c]: [usize; 3],
    weight_type: WeightType,
    pre_shift: u8,
    input: i8,
    more: i64,
) -> Layer {
    let mut layer = Layer::default();
    let depthwise = matches!(kind, Weighted::Depthwise);
    let products = if depthwise { h * w } else { h * w * c };
    let in_c = if depthwise { 4 } else { c };
    let limit = largest_weight(weight_type) as i8;
    // Products are negative where weight and input have other signs; the bias goes the same way.
    let signs: [i8; 4] = [1, -1, 1, -1];
    let magnitude = products as i64 * i64::from(limit) * 128;
    let room = (LIMIT as i64 >> pre_shift) - magnitude + more;
    let biases = signs.map(|sign| {
        let same_way = i64::from(sign) * i64::from(input.signum());
        i32::try_from(same_way * room).expect("a bias has 32 bits")
    });
    let weights: Vec<i8> = if depthwise {
        (0..products)
            .flat_map(|_| signs.map(|s| s * limit))
            .collect()
    } else {
        signs
            .iter()
            .flat_map(|s| std::iter::repeat_n(s * limit, products))
            .collect()
    };
    let row = if depthwise { 4 } else { products };
    let weights = layer.pack(&weights, weight_type, row);
    let bias = layer.values(&biases);
    let multipliers = layer.values(&[i32::MAX, i32::MAX, 1, 1 << 30]);
    let requant = Requant {
        multipliers,
        pre_shift,
        clamp: ALL,
    };
    let input_zero_point = if input < 0 { 127 } else { -128 };
    let data = vec![input; h * w * in_c];
    let input = layer.input([h, w, in_c], input_zero_point, data);
    let output = layer.tensor([1, 1, 4], !input_zero_point);
    let scratch = Scratch::default();
    layer.op(match kind {
        Weighted::FullyConnected => Op::FullyConnected(FullyConnected {
            input,
            output,
            weight_type,
            weights,
            bias,
            requant,
            scratch,
        }),
        _ => {
            let op = Conv2d {
                input,
                output,
                window: Window {
                    kernel_h: u16::try_from(h).expect("a kernel has 16 bits"),
                    kernel_w: u16::try_from(w).expect("a kernel has 16 bits"),
                    ..UNPADDED
                },
                groups: if depthwise { 4 } else { 1 },
                weight_type,
                weights,
                bias,
                requant,
                scratch,
            };
            if depthwise {
                Op::DepthwiseConv2d(op)
            } else {
                Op::Conv2d(op)
            }
        }
    });
    placed(layer)
}

/// All tensors one behind the other.
fn placed(mut layer: Layer) -> Layer {
    let order: Vec<(usize, u32)> = (0..layer.program.tensors.len())
        .map(|tensor| (tensor, 0))
        .collect();
    layer.place(&order, &[]);
    layer
}

/// Shapes of a window of `most` products or a few less, as far as dimensions of 16 bits go.
fn largest_window(kind: Weighted, most: u64) -> [usize; 3] {
    let most = usize::try_from(most).expect("a small number");
    match kind {
        // Any number that has a divisor near its root is a few below.
        Weighted::Depthwise => {
            let side = (1..=most.isqrt()).rev();
            let fits = side
                .map(|h| [h, most / h, 1])
                .filter(|[_, w, _]| *w < 1 << 16);
            fits.max_by_key(|[h, w, _]| h * w).expect("one fits")
        }
        _ => {
            let channels = (1..=9).rev();
            let best = channels.map(|h| [h, 9, most / (9 * h)]);
            let fits = best.filter(|[.., c]| *c < 1 << 16);
            fits.max_by_key(|[h, w, c]| h * w * c).expect("one fits")
        }
    }
}

fn weighted_edges(edges: &mut Vec<Edge>) {
    for kind in Weighted::ALL {
        for weight_type in [WeightType::Int8, WeightType::Int4] {
            for input in [i8::MIN, i8::MAX] {
                // -128 alone meets the bound, which counts every input as 128.
                let reached = |products: u64, pre_shift: u8| {
                    let lost = if input == i8::MIN {
                        0
                    } else {
                        products * u64::from(largest_weight(weight_type))
                    };
                    ((LIMIT >> pre_shift) - lost) << pre_shift
                };
                let window = match kind {
                    Weighted::FullyConnected => [2, 3, 67],
                    _ => [3, 3, 21],
                };
                let products = |[h, w, c]: [usize; 3]| match kind {
                    Weighted::Depthwise => (h * w) as u64,
                    _ => (h * w * c) as u64,
                };
                for pre_shift in [0, 1, 4, 8] {
                    edges.push(Edge {
                        operator: kind.name(),
                        what: format!(
                            "{weight_type:?}, inputs {input}, pre_shift {pre_shift}, the largest bias"
                        ),
                        layer: weighted(kind, window, weight_type, pre_shift, input, 0),
                        largest_t: reached(products(window), pre_shift),
                        small: true,
                    });
                }
            }
            let most = largest_window(kind, most_products(weight_type));
            let products: u64 = match kind {
                Weighted::Depthwise => (most[0] * most[1]) as u64,
                _ => most.iter().product::<usize>() as u64,
            };
            assert!(products + 64 > most_products(weight_type), "{most:?}");
            edges.push(Edge {
                operator: kind.name(),
                what: format!("{weight_type:?}, {products} products"),
                layer: weighted(kind, most, weight_type, 0, i8::MIN, 0),
                largest_t: LIMIT,
                small: false,
            });
        }
    }
}

fn weighted_beyond(beyond: &mut Vec<Beyond>) {
    let accumulator: Refusal = |error| matches!(error, LoadError::Accumulator { .. });
    for kind in Weighted::ALL {
        for weight_type in [WeightType::Int8, WeightType::Int4] {
            for pre_shift in [0, 1, 4, 8] {
                beyond.push(Beyond {
                    operator: kind.name(),
                    what: format!("{weight_type:?}, pre_shift {pre_shift}, a bias one larger"),
                    layer: weighted(kind, [3, 3, 21], weight_type, pre_shift, i8::MIN, 1),
                    refusal: accumulator,
                });
            }
        }
        // One product more than fits, as near as a window comes; without any bias.
        let most = most_products(WeightType::Int8);
        let mut window = largest_window(kind, most);
        let last = if matches!(kind, Weighted::Depthwise) {
            1
        } else {
            2
        };
        window[last] += 1;
        let products: usize = window.iter().product();
        let magnitude = products as i64 * 127 * 128;
        let without = -((LIMIT as i64) - magnitude);
        beyond.push(Beyond {
            operator: kind.name(),
            what: format!("{products} products"),
            layer: weighted(kind, window, WeightType::Int8, 0, i8::MIN, without),
            refusal: accumulator,
        });
        // The bound counts weights up to 127: -128 is none.
        let mut layer = weighted(kind, [3, 3, 21], WeightType::Int8, 0, i8::MIN, 0);
        layer
            .weights
            .iter_mut()
            .for_each(|w| *w = (*w).max(-127) - i8::from(*w == -127));
        beyond.push(Beyond {
            operator: kind.name(),
            what: "weights of -128".to_owned(),
            layer,
            refusal: |error| matches!(error, LoadError::WeightValue { found: -128, .. }),
        });
        let mut layer = weighted(kind, [3, 3, 21], WeightType::Int8, 0, i8::MIN, 0);
        let multiplier = layer.params.iter().rposition(|&p| p == 1);
        layer.params[multiplier.expect("there is one")] = -1;
        beyond.push(Beyond {
            operator: kind.name(),
            what: "a multiplier of -1".to_owned(),
            layer,
            refusal: |error| matches!(error, LoadError::Multiplier { found: -1, .. }),
        });
    }
}

fn average_pool([h, w]: [usize; 2], pre_shift: u8, input: i8) -> Layer {
    let mut layer = Layer::default();
    let multipliers = layer.values(&[i32::MAX]);
    let zero_point = if input < 0 { 127 } else { -128 };
    let input = layer.input([h, w, 1], zero_point, vec![input; h * w]);
    let output = layer.tensor([1, 1, 1], 0);
    layer.op(Op::AveragePool(AveragePool {
        input,
        output,
        window: Window {
            kernel_h: u16::try_from(h).expect("a kernel has 16 bits"),
            kernel_w: u16::try_from(w).expect("a kernel has 16 bits"),
            ..UNPADDED
        },
        multiplier_per_count: false,
        requant: Requant {
            multipliers,
            pre_shift,
            clamp: ALL,
        },
    }));
    placed(layer)
}

/// Every pair of two int8 values, the first one a row.
fn pairs(layer: &mut Layer, zero_points: [i8; 2]) -> [u16; 2] {
    let values = || i8::MIN..=i8::MAX;
    let [a, b] = zero_points;
    let first = values().flat_map(|a| values().map(move |_| a)).collect();
    let second = values().flat_map(|_| values()).collect();
    [
        layer.input([256, 256, 1], a, first),
        layer.input([256, 256, 1], b, second),
    ]
}

fn add(multipliers: [i16; 2], shift: u8, zero_points: [i8; 3]) -> Layer {
    let mut layer = Layer::default();
    let [a_zero_point, b_zero_point, zero_point] = zero_points;
    let [a, b] = pairs(&mut layer, [a_zero_point, b_zero_point]);
    let output = layer.tensor([256, 256, 1], zero_point);
    let [a_multiplier, b_multiplier] = multipliers;
    layer.op(Op::Add(Add {
        a,
        b,
        output,
        a_multiplier,
        b_multiplier,
        shift,
        min: i8::MIN,
        max: i8::MAX,
    }));
    placed(layer)
}

fn extremum(
    make: fn(Extremum) -> Op,
    multipliers: [i16; 2],
    shift: u8,
    zero_points: [i8; 3],
) -> Layer {
    let mut layer = Layer::default();
    let [a_zero_point, b_zero_point, zero_point] = zero_points;
    let [a, b] = pairs(&mut layer, [a_zero_point, b_zero_point]);
    let output = layer.tensor([256, 256, 1], zero_point);
    let [a_multiplier, b_multiplier] = multipliers;
    layer.op(make(Extremum {
        a,
        b,
        output,
        a_multiplier,
        b_multiplier,
        shift,
        min: i8::MIN,
        max: i8::MAX,
    }));
    placed(layer)
}

fn mul(pre_shift: u8, multiplier: i32, zero_points: [i8; 3]) -> Layer {
    let mut layer = Layer::default();
    let [a_zero_point, b_zero_point, zero_point] = zero_points;
    let multipliers = layer.values(&[multiplier]);
    let [a, b] = pairs(&mut layer, [a_zero_point, b_zero_point]);
    let output = layer.tensor([256, 256, 1], zero_point);
    layer.op(Op::Mul(Mul {
        a,
        b,
        output,
        requant: Requant {
            multipliers,
            pre_shift,
            clamp: ALL,
        },
    }));
    placed(layer)
}

/// A row of `channels` values, of which `largest` are the largest; all entries of the table but those of the others are one.
fn softmax(channels: usize, other: i32, steps: Option<u32>) -> Layer {
    let mut layer = Layer::default();
    let mut table = vec![1 << 20; 256];
    table[255] = other;
    let table = layer.values(&table);
    let mut row = vec![i8::MAX; channels];
    if other != 1 << 20 {
        row[1..].fill(i8::MIN);
    }
    let input = layer.input([1, 1, channels], -128, row);
    let output = layer.tensor([1, 1, channels], -128);
    layer.op(match steps {
        Some(steps) => Op::ScaledSoftmax(ScaledSoftmax {
            input,
            output,
            table,
            steps,
        }),
        None => Op::Softmax(Softmax {
            input,
            output,
            table,
        }),
    });
    placed(layer)
}

/// A shape that two sums of 16 bits would make of what they lose.
fn wrapped(op: impl FnOnce(u16, u16, u16) -> Op) -> Layer {
    let mut layer = Layer::default();
    let first = layer.input([1, 1, 65535], 0, vec![0; 65535]);
    let second = layer.input([1, 1, 2], 0, vec![0; 2]);
    let output = layer.tensor([1, 1, 1], 0);
    layer.op(op(first, second, output));
    placed(layer)
}

/// All layers at edges.
#[must_use]
pub fn edges() -> Vec<Edge> {
    let mut edges = Vec::new();
    weighted_edges(&mut edges);
    let mut edge = |operator, what: String, layer, largest_t, small| {
        edges.push(Edge {
            operator,
            what,
            layer,
            largest_t,
            small,
        });
    };
    // (11): a window of 255 with the largest shift, and the largest window without.
    for input in [i8::MIN, i8::MAX] {
        let (few, many) = ([15, 17], [2048, 4095]);
        let what = format!("inputs {input}, 255 of them, pre_shift 15");
        edge(
            "average_pool",
            what,
            average_pool(few, 15, input),
            (255 * 255) << 15,
            true,
        );
        let count = (many[0] * many[1]) as u64;
        let what = format!("inputs {input}, {count} of them");
        edge(
            "average_pool",
            what,
            average_pool(many, 0, input),
            count * 255,
            false,
        );
    }
    // (12): every pair of inputs with the largest multipliers, shifts and zero points.
    let extreme = [i8::MIN, i8::MAX];
    for shift in [1, 22] {
        for a in [-32767, 32767] {
            for b in [-32767, 32767] {
                for zero_points in 0..8_usize {
                    let zero_points = [0, 1, 2].map(|bit| extreme[zero_points >> bit & 1]);
                    let what = format!("multipliers {a} and {b}, shift {shift}, {zero_points:?}");
                    // Of those that have a room of their own on a board, half of the signs.
                    let small = a == b && zero_points[0] != zero_points[2];
                    edge("add", what, add([a, b], shift, zero_points), 0, small);
                }
            }
        }
    }
    // (21) and (22): likewise, with multipliers that a sum may not have.
    let max = Op::Max as fn(Extremum) -> Op;
    for (operator, make) in [("max", max), ("min", Op::Min)] {
        for (shift, a, b) in [(1, -32768, -32768), (22, 32767, 32767), (22, -32768, 32767)] {
            for zero_points in 0..8_usize {
                let zero_points = [0, 1, 2].map(|bit| extreme[zero_points >> bit & 1]);
                let what = format!("multipliers {a} and {b}, shift {shift}, {zero_points:?}");
                // All that are on a board have room in its flash together.
                let small =
                    a > 0 && zero_points[0] == zero_points[1] && zero_points[0] != zero_points[2];
                let layer = extremum(make, [a, b], shift, zero_points);
                edge(operator, what, layer, 0, small);
            }
        }
    }
    // (13): every pair of inputs with the largest shift.
    for (pre_shift, multiplier) in [(15, i32::MAX), (15, 1), (0, i32::MAX)] {
        for zero_points in 0..8_usize {
            let zero_points = [0, 1, 2].map(|bit| extreme[zero_points >> bit & 1]);
            let [a, b, _] = zero_points;
            let what = format!("pre_shift {pre_shift}, multiplier {multiplier}, {zero_points:?}");
            let small = pre_shift == 15 && a == b;
            let layer = mul(pre_shift, multiplier, zero_points);
            edge("mul", what, layer, (255 * 255) << pre_shift, small);
        }
    }
    // (15) and (20): the largest sum, the largest quotient, and all but one value at nothing.
    for (channels, other) in [(2047, 1 << 20), (2047, 0), (2, 0), (1, 1 << 20), (2047, 1)] {
        let what = format!("{channels} channels, others {other}");
        edge("softmax", what, softmax(channels, other, None), 0, true);
        for steps in [257, 1 << 19] {
            let what = format!("{channels} channels, others {other}, {steps} steps");
            edge(
                "scaled_softmax",
                what,
                softmax(channels, other, Some(steps)),
                0,
                true,
            );
        }
    }
    // (14): the index of every input.
    let mut layer = Layer::default();
    let table: Vec<i8> = (i8::MIN..=i8::MAX).map(|value| !value).collect();
    let table = layer.bytes(&table);
    let input = layer.input([1, 1, 256], 127, (i8::MIN..=i8::MAX).collect());
    let output = layer.tensor([1, 1, 256], -128);
    layer.op(Op::Lut(Lut {
        input,
        output,
        table,
    }));
    edge("lut", "every input".to_owned(), placed(layer), 0, true);
    edges
}

/// All layers beyond edges.
#[must_use]
pub fn beyond() -> Vec<Beyond> {
    let mut all = Vec::new();
    weighted_beyond(&mut all);
    let mut beyond = |operator, what: &str, layer, refusal: Refusal| {
        all.push(Beyond {
            operator,
            what: what.to_owned(),
            layer,
            refusal,
        });
    };
    let accumulator: Refusal = |error| matches!(error, LoadError::Accumulator { .. });
    let layer = average_pool([16, 16], 15, 0);
    beyond(
        "average_pool",
        "256 inputs with pre_shift 15",
        layer,
        accumulator,
    );
    let layer = average_pool([2048, 4096], 0, 0);
    beyond("average_pool", "2^23 inputs", layer, accumulator);
    let multiplier: Refusal = |error| matches!(error, LoadError::AddMultiplier { .. });
    for multipliers in [[i16::MIN, 1], [1, i16::MIN]] {
        let layer = add(multipliers, 22, [0; 3]);
        beyond("add", "a multiplier of -32768", layer, multiplier);
    }
    for shift in [0, 23] {
        let refusal: Refusal = |error| matches!(error, LoadError::AddShift { .. });
        beyond("add", "another shift", add([1, 1], shift, [0; 3]), refusal);
    }
    for shift in [0, 23] {
        let refusal: Refusal = |error| matches!(error, LoadError::AddShift { .. });
        let layer = extremum(Op::Max, [1, 1], shift, [0; 3]);
        beyond("max", "another shift", layer, refusal);
        let layer = extremum(Op::Min, [1, 1], shift, [0; 3]);
        beyond("min", "another shift", layer, refusal);
    }
    let layer = mul(16, 1, [0; 3]);
    beyond("mul", "pre_shift 16", layer, accumulator);
    let row: Refusal = |error| matches!(error, LoadError::SoftmaxRow { found: 2048, .. });
    beyond("softmax", "2048 channels", softmax(2048, 0, None), row);
    beyond(
        "scaled_softmax",
        "2048 channels",
        softmax(2048, 0, Some(257)),
        row,
    );
    for steps in [256, (1 << 19) + 1] {
        let refusal: Refusal = |error| matches!(error, LoadError::SoftmaxSteps { .. });
        beyond(
            "scaled_softmax",
            "other steps",
            softmax(2, 0, Some(steps)),
            refusal,
        );
    }
    for other in [(1 << 20) + 1, -1] {
        let refusal: Refusal = |error| matches!(error, LoadError::SoftmaxTable { at: 255, .. });
        beyond(
            "softmax",
            "an entry beyond 2^20 or below 0",
            softmax(2, other, None),
            refusal,
        );
    }
    let shape: Refusal = |error| matches!(error, LoadError::Shape { axis: 2, .. });
    let concat = wrapped(|a, b, output| {
        Op::Concat(Concat {
            inputs: heapless::Vec::from_slice(&[a, b]).expect("two"),
            output,
            axis: 2,
        })
    });
    beyond(
        "concat",
        "65537 channels where 16 bits have 1",
        concat,
        shape,
    );
    let pad = wrapped(|a, _, output| {
        Op::Pad(Pad {
            input: a,
            output,
            before: [0, 0, 1],
            after: [0, 0, 1],
            value: 0,
        })
    });
    beyond("pad", "65537 channels where 16 bits have 1", pad, shape);
    let reshape = wrapped(|a, _, output| Op::Reshape(Unary { input: a, output }));
    let elements: Refusal = |error| matches!(error, LoadError::Elements { .. });
    beyond("reshape", "65535 elements as 1", reshape, elements);
    let mut layer = Layer::default();
    let input = layer.input([1, 1, 1], 0, vec![0]);
    let output = layer.tensor([1, 1, 1], 0);
    layer.op(Op::MaxPool(MaxPool {
        input,
        output,
        window: UNPADDED,
        min: 1,
        max: 0,
    }));
    let clamp: Refusal = |error| matches!(error, LoadError::Clamp { .. });
    beyond("max_pool", "a range of nothing", placed(layer), clamp);
    all
}
