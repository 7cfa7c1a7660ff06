//! One random layer, computed in every way.

use crate::oracle::Trace;
use crate::random_layer::RandomLayer;
use fewbit_runtime::format::family::Family;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs one layer by the oracle and by every kernel family.
///
/// # Errors
/// Difference, or the panic of a kernel.
pub fn compare(random: &RandomLayer) -> Result<(Trace, usize), String> {
    let (expected, trace) = random.layer.expected();
    // A panic of a kernel is a finding like any other and must name its seed.
    for packing in Family::ALL {
        let found = catch_unwind(AssertUnwindSafe(|| match packing {
            Family::Scalar => random.layer.run(),
            _ => random.layer.packed_for(packing).run(),
        }));
        let found = found.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        });
        found
            .and_then(|found| same(&expected, &found))
            .map_err(|what| format!("family {}: {what}", packing.name()))?;
    }
    Ok((trace, expected.iter().map(Vec::len).sum()))
}

/// Compares outputs.
///
/// # Errors
/// Index of the difference.
pub fn same(expected: &[Vec<i8>], found: &[Vec<i8>]) -> Result<(), String> {
    for (expected, found) in expected.iter().zip(found) {
        if let Some(at) =
            (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))
        {
            let different = expected
                .iter()
                .zip(found)
                .filter(|(expected, found)| expected != found)
                .count();
            return Err(format!(
                "byte {at}: expected {:?}, found {:?} ({different} of {} bytes differ)",
                expected.get(at),
                found.get(at),
                expected.len()
            ));
        }
    }
    if expected.len() != found.len() {
        return Err(format!(
            "expected {} outputs, found {}",
            expected.len(),
            found.len()
        ));
    }
    Ok(())
}

/// A failure and the layer that it is of, for people.
#[must_use]
pub fn describe(random: &RandomLayer, what: &str) -> String {
    let mut text = format!(
        "{}: {what}\n  features {:?}\n",
        random.operator, random.features
    );
    for op in &random.layer.program.ops {
        let _ = writeln!(text, "  {op:?}");
    }
    for (index, tensor) in random.layer.program.tensors.iter().enumerate() {
        let _ = writeln!(text, "  tensor {index}: {tensor:?}");
    }
    text
}
