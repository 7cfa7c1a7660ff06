//! Windows of pools: what is accepted has an element under each of them.

use super::{window, zoo};
use crate::error::LoadError;
use crate::format::program::{MaxPool, Op, Port, Window};
use crate::format::write::{ProgramParts, arena_bytes};

/// Loads a pool over `size` rows of one element; `None` where the window is longer than the padded input.
fn load(size: u16, window: Window) -> Option<(u16, Result<(), LoadError>)> {
    let extent = u16::from(window.dilation_h) * (window.kernel_h - 1) + 1;
    let padded = size + u16::from(window.pad_top) + u16::from(window.pad_bottom);
    let positions = padded.checked_sub(extent)? / u16::from(window.stride_h) + 1;
    let mut p = zoo();
    p.program = ProgramParts::default();
    let (input, output) = (p.tensor([size, 1, 1], 0), p.tensor([positions, 1, 1], 0));
    let port = |tensor| Port {
        tensor,
        scale_bits: 1,
    };
    p.program.inputs = vec![port(input)];
    p.program.outputs = vec![port(output)];
    p.program.ops = vec![Op::MaxPool(MaxPool {
        input,
        output,
        window,
        min: -128,
        max: 127,
    })];
    p.program.arena_bytes = arena_bytes(&p.program.tensors, &p.program.ops);
    Some((positions, p.load()))
}

#[cfg_attr(miri, ignore = "loads too many blobs for an interpreter")]
#[test]
fn a_pool_is_accepted_if_its_pads_are_within_a_window_and_no_window_is_empty() {
    let (mut accepted, mut padded, mut empty) = (0, 0, 0);
    for size in 1..7_u16 {
        for kernel in 1..4_u16 {
            for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (1, 3), (2, 3), (3, 7), (1, 9)] {
                for (before, after) in (0..20).flat_map(|b| (0..20).map(move |a| (b, a))) {
                    let window = Window {
                        kernel_w: 1,
                        stride_h: stride,
                        dilation_h: dilation,
                        pad_top: before,
                        pad_bottom: after,
                        ..window(kernel, 1, 0, 0)
                    };
                    let Some((positions, result)) = load(size, window) else {
                        continue;
                    };
                    let extent = u32::from(dilation) * (u32::from(kernel) - 1) + 1;
                    let has_element = |at: u16| {
                        (0..kernel).any(|tap| {
                            let row = i32::from(at) * i32::from(stride) - i32::from(before)
                                + i32::from(tap) * i32::from(dilation);
                            (0..i32::from(size)).contains(&row)
                        })
                    };
                    let expected = if u32::from(before.max(after)) >= extent {
                        padded += 1;
                        let found = if u32::from(before) >= extent {
                            before
                        } else {
                            after
                        };
                        Err(LoadError::PoolPad {
                            op: 0,
                            extent,
                            found,
                        })
                    } else if (0..positions).all(has_element) {
                        accepted += 1;
                        Ok(())
                    } else {
                        empty += 1;
                        Err(LoadError::PoolWindow { op: 0 })
                    };
                    assert_eq!(result, expected, "{size} {window:?}");
                }
            }
        }
    }
    assert!(
        accepted > 1000 && padded > 1000 && empty > 100,
        "{accepted} {padded} {empty}"
    );
}
