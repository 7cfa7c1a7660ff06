//! Kernel, stride, dilation and padding of convolutions and pools.

use super::call::Call;
use crate::graph::Window;
use crate::import::error::{OpResult, invalid, unsupported};

/// Largest kernel, stride, dilation or padding; with it no size computed from them can overflow.
const MAX_SIZE: i64 = 1 << 20;

/// Window of a convolution or pool over the spatial sizes `input` (one or two; one is treated as a row, `h = 1`).
///
/// The second result is how much of `pad_after` is there only because of `ceil_mode`.
pub(super) fn read_window(
    call: &Call<'_, '_>,
    kernel: &[usize],
    input: &[usize],
) -> OpResult<(Window, [usize; 2])> {
    let axes = input.len();
    if kernel.len() != axes {
        return Err(invalid(format!(
            "the kernel {kernel:?} has {} axes, the input {axes} besides batch and channels",
            kernel.len()
        )));
    }
    let mut kernel = kernel.to_vec();
    let mut stride = read_sizes(call, "strides", vec![1; axes], 1)?;
    let mut dilation = read_sizes(call, "dilations", vec![1; axes], 1)?;
    let pads = read_sizes(call, "pads", vec![0; 2 * axes], 0)?;
    let ceil_mode = call.attributes.flag("ceil_mode", false)?;
    if kernel
        .iter()
        .any(|&size| size == 0 || size > MAX_SIZE as usize)
    {
        return Err(invalid(format!(
            "the kernel is {kernel:?}; each of its sizes has to be 1 to {MAX_SIZE}"
        )));
    }
    // A single tap has no neighbour to be apart from.
    for (dilation, &size) in dilation.iter_mut().zip(&kernel) {
        if size == 1 {
            *dilation = 1;
        }
    }
    let mut before = pads[..axes].to_vec();
    let mut after = pads[axes..].to_vec();
    let mut input = input.to_vec();
    if axes == 1 {
        kernel.insert(0, 1);
        stride.insert(0, 1);
        dilation.insert(0, 1);
        before.insert(0, 0);
        after.insert(0, 0);
        input.insert(0, 1);
    }
    let [kernel, stride, dilation, pad_before, pad_after, input] =
        [kernel, stride, dilation, before, after, input].map(|pair| [pair[0], pair[1]]);
    let mut window = Window {
        kernel,
        stride,
        dilation,
        pad_before,
        pad_after,
    };
    let auto_pad = call.attributes.string("auto_pad")?.unwrap_or("NOTSET");
    if auto_pad != "NOTSET" {
        if window.is_padded() {
            return Err(invalid(format!(
                "has both explicit pads and auto_pad {auto_pad}"
            )));
        }
        for (axis, &size) in input.iter().enumerate() {
            let [before, after] = automatic(auto_pad, &window, axis, size)?;
            window.pad_before[axis] = before;
            window.pad_after[axis] = after;
        }
    }
    let mut extra = [0, 0];
    if ceil_mode {
        for (axis, &size) in input.iter().enumerate() {
            extra[axis] = ceil_padding(&window, axis, size)?;
            window.pad_after[axis] += extra[axis];
        }
    }
    for (axis, &size) in input.iter().enumerate() {
        if window.output_size(axis, size).is_none() {
            return Err(invalid(format!(
                "the kernel {kernel:?} with its dilation and padding does not fit the input {input:?}"
            )));
        }
    }
    Ok((window, extra))
}

/// The sizes of attribute `name`, none of them below `least`; as many as those by `default`.
fn read_sizes(
    call: &Call<'_, '_>,
    name: &str,
    default: Vec<i64>,
    least: i64,
) -> OpResult<Vec<usize>> {
    let length = default.len();
    let values = match call.attributes.ints(name)? {
        Some(values) => values.to_vec(),
        None => default,
    };
    if values.len() != length {
        return Err(invalid(format!(
            "attribute `{name}` has {} values, expected {length}",
            values.len()
        )));
    }
    if values
        .iter()
        .any(|&value| value > MAX_SIZE || value < least)
    {
        return Err(unsupported(
            format!("attribute `{name}` is {values:?}"),
            if least == 0 {
                "supported are values from 0 to 1048576; crop outside the network"
            } else {
                "supported are values from 1 to 1048576"
            },
        ));
    }
    Ok(values.iter().map(|&value| value as usize).collect())
}

/// Padding before and after by the rule `auto_pad`.
fn automatic(auto_pad: &str, window: &Window, axis: usize, size: usize) -> OpResult<[usize; 2]> {
    let outputs = size.div_ceil(window.stride[axis]);
    let covered = (outputs - 1) * window.stride[axis] + window.extent(axis);
    let total = covered.saturating_sub(size);
    match auto_pad {
        "VALID" => Ok([0, 0]),
        "SAME_UPPER" => Ok([total / 2, total - total / 2]),
        "SAME_LOWER" => Ok([total - total / 2, total / 2]),
        other => Err(invalid(format!(
            "attribute `auto_pad` is `{other}`, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER"
        ))),
    }
}

/// Padding behind the given one that makes the last, incomplete window complete.
fn ceil_padding(window: &Window, axis: usize, size: usize) -> OpResult<usize> {
    let padded = size + window.pad_before[axis] + window.pad_after[axis];
    let stride = window.stride[axis];
    let Some(span) = padded.checked_sub(window.extent(axis)) else {
        // A window larger than all there is: one output, if the formula rounds up to one.
        let missing = window.extent(axis) - padded;
        return Ok(if missing < stride { missing } else { 0 });
    };
    let outputs = span.div_ceil(stride) + 1;
    let last_start = (outputs - 1) * stride;
    if last_start >= size + window.pad_before[axis] {
        // No runtime keeps a window that would start behind the image.
        return Ok(0);
    }
    Ok(last_start + window.extent(axis) - padded.min(last_start + window.extent(axis)))
}
