//! Geometries at the limits: whatever a kernel computes for them fits 32 bits, which a build for such a target shows.
//!
//! Lines of 17 million bytes, so that 256 of them, a pad's or a dilation's worth, are more than 2^32; most windows lie in the padding.

use super::super::Model;
use super::super::needs::scratch_bytes;
use super::FULL;
use crate::engine::Engine;
use crate::format::aligned::AlignedBlob;
use crate::format::family::Family;
use crate::format::program::{
    AveragePool, Conv2d, MaxPool, Op, Port, Requant, Scratch, Tensor, WeightType, Window,
};
use crate::format::write::{BlobWriter, ProgramParts, arena_bytes};
use crate::pack::pack;

/// Columns of the input.
const WIDTH: u16 = 4099;

/// Every window of the square kernels, dilations and pads that are worth looking at.
fn windows() -> impl Iterator<Item = Window> {
    let pads = [(0, 0), (0, 255), (255, 255)];
    [1, 2].into_iter().flat_map(move |kernel| {
        [1, 255].into_iter().flat_map(move |dilation| {
            pads.into_iter().map(move |(before, after)| Window {
                kernel_h: kernel,
                kernel_w: kernel,
                stride_h: 255,
                stride_w: 255,
                dilation_h: dilation,
                dilation_w: dilation,
                pad_top: before,
                pad_left: before,
                pad_bottom: after,
                pad_right: after,
            })
        })
    })
}

/// Height and width of the output for one line of input; `None` for a window that does not fit.
fn output_size(window: &Window) -> Option<[u16; 2]> {
    let extent = u16::from(window.dilation_h) * (window.kernel_h - 1) + 1;
    let pads = u16::from(window.pad_top) + u16::from(window.pad_bottom);
    let size = |input: u16| Some((input + pads).checked_sub(extent)? / 255 + 1);
    Some([size(1)?, size(WIDTH)?])
}

/// Packs a model of one operator for a family and runs it; `scratch` says whether the operator gets any.
fn run(op: &Op, tensors: [Tensor; 2], sections: &BlobWriter, family: (Family, bool)) -> Vec<i8> {
    let (packing, scratch) = family;
    let (mut ops, mut tensors) = (vec![op.clone()], tensors);
    let sections = pack(packing, &mut ops, &tensors, sections);
    tensors[1].offset = (tensors[0].bytes() as u32).next_multiple_of(4);
    let area = Scratch {
        offset: arena_bytes(&tensors, &[]).next_multiple_of(16),
        bytes: scratch_bytes(&ops[0], &tensors, packing) as u32,
    };
    if let (Some(place), true) = (ops[0].scratch_mut(), scratch && area.bytes > 0) {
        *place = area;
    }
    let port = |tensor| Port {
        tensor,
        scale_bits: 1,
    };
    let program = ProgramParts {
        arena_bytes: arena_bytes(&tensors, &ops),
        inputs: vec![port(0)],
        outputs: vec![port(1)],
        tensors: tensors.to_vec(),
        ops,
        packing,
    };
    let blob = sections.finish(&program, &super::Metadata::default());
    let blob = AlignedBlob::new(&blob.unwrap());
    let model = Model::<2, 1>::from_bytes(&blob).unwrap();
    let mut arena = vec![0; model.arena_bytes()];
    let mut engine = Engine::new(&model, &mut arena).unwrap();
    for (x, at) in engine.input_mut(0).iter_mut().zip(0_u32..) {
        *x = (at % 251) as i8;
    }
    engine.run();
    engine.output(0).to_vec()
}

/// A convolution's sections and fields, for `rows` rows of `row` weights.
fn convolution(
    window: Window,
    groups: u16,
    [rows, row]: [usize; 2],
    channels: u16,
) -> (Conv2d, BlobWriter) {
    let mut sections = BlobWriter::new();
    let weights: Vec<i8> = (0..rows * row).map(|i| (i * 37 % 15) as i8 - 7).collect();
    let conv = Conv2d {
        input: 0,
        output: 1,
        window,
        groups,
        weight_type: WeightType::Int8,
        weights: sections.append_weights(&weights),
        bias: sections.append_params(&vec![77; channels.into()]),
        requant: Requant {
            multipliers: sections.append_params(&vec![1 << 22; channels.into()]),
            pre_shift: 0,
            clamp: FULL,
        },
        scratch: Scratch::default(),
    };
    (conv, sections)
}

const FAMILIES: [(Family, bool); 3] = [
    (Family::Scalar, true),
    (Family::Dsp, true),
    (Family::Mve, true),
];

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn convolutions_fit_32_bits() {
    // Channels of whole words, and not; a group's and all.
    for (channels, groups) in [(4160, 1), (4161, 1), (4160, 2)] {
        let input = Tensor::int8(0, [1, WIDTH, channels], 3);
        for window in windows() {
            let Some([h, w]) = output_size(&window) else {
                continue;
            };
            let output = Tensor::int8(0, [h, w, if groups == 1 { 3 } else { 4 }], 0);
            let taps = usize::from(window.kernel_h) * usize::from(window.kernel_w);
            let row = taps * usize::from(channels / groups);
            let (conv, sections) = convolution(window, groups, [output.c.into(), row], output.c);
            let op = Op::Conv2d(conv);
            let tensors = [input, output];
            let expected = run(&op, tensors, &sections, (Family::Scalar, false));
            // Groups are the scalar kernel's in every family.
            let families = if groups == 1 { &FAMILIES[..] } else { &[] };
            for &family in families {
                let found = run(&op, tensors, &sections, family);
                assert_eq!(found, expected, "{family:?} {window:?}");
            }
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn depthwise_convolutions_fit_32_bits() {
    let input = Tensor::int8(0, [1, WIDTH, 4160], 3);
    for window in windows() {
        let Some([h, w]) = output_size(&window) else {
            continue;
        };
        let output = Tensor::int8(0, [h, w, input.c], 0);
        let taps = usize::from(window.kernel_h) * usize::from(window.kernel_w);
        let (conv, sections) = convolution(window, input.c, [taps, input.c.into()], input.c);
        let op = Op::DepthwiseConv2d(conv);
        let tensors = [input, output];
        let expected = run(&op, tensors, &sections, (Family::Scalar, false));
        for family in FAMILIES {
            let found = run(&op, tensors, &sections, family);
            assert_eq!(found, expected, "{family:?} {window:?}");
        }
    }
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn pools_fit_32_bits() {
    let input = Tensor::int8(0, [1, WIDTH, 4161], 3);
    // Pads are smaller than their windows: one line of input, and up to 255 of padding on either side; or two taps 255 apart, of which one
    // is on the line.
    for (kernel, dilation, pad) in [(1, 1, 0), (511, 1, 255), (2, 255, 255), (3, 255, 255)] {
        let window = Window {
            kernel_h: kernel,
            kernel_w: kernel,
            stride_h: 255,
            stride_w: 255,
            dilation_h: dilation,
            dilation_w: dilation,
            pad_top: pad,
            pad_left: pad,
            pad_bottom: pad,
            pad_right: pad,
        };
        let [h, w] = output_size(&window).unwrap();
        let output = Tensor::int8(0, [h, w, input.c], 3);
        let mut sections = BlobWriter::new();
        let max = Op::MaxPool(MaxPool {
            input: 0,
            output: 1,
            window,
            min: -128,
            max: 127,
        });
        let average = Op::AveragePool(AveragePool {
            input: 0,
            output: 1,
            window,
            multiplier_per_count: false,
            requant: Requant {
                multipliers: sections.append_params(&[1 << 24]),
                pre_shift: 0,
                clamp: FULL,
            },
        });
        for op in [max, average] {
            let found = run(&op, [input, output], &sections, (Family::Scalar, false));
            assert_eq!(found.len() as u64, output.elements());
        }
    }
}
