//! Smaller blobs for one that fails: with less of everything.

use super::parts::Parts;

/// Blobs with one thing less, or with constants that are shorter or all alike.
pub(super) fn simpler(blob: &[u8]) -> Vec<Vec<u8>> {
    let Some(parts) = Parts::decode(blob) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Parts)| {
        let mut changed = parts.clone();
        change(&mut changed);
        all.push(changed.encode());
        changed.fit_arena();
        all.push(changed.encode());
    };
    let program = &parts.program;
    for at in (0..program.ops.len()).rev() {
        add(&|parts| {
            parts.program.ops.remove(at);
        });
        add(&|parts| without_operator(parts, at));
    }
    for at in (0..program.outputs.len()).rev() {
        add(&|parts| {
            parts.program.outputs.remove(at);
        });
    }
    for at in (0..program.inputs.len()).rev() {
        add(&|parts| {
            parts.program.inputs.remove(at);
        });
    }
    if !program.tensors.is_empty() {
        add(&|parts| {
            parts.program.tensors.pop();
        });
    }
    if !parts.metadata.iter().all(|&byte| byte == 0) {
        add(&|parts| parts.metadata.fill(0));
    }
    add(&|parts| parts.metadata.truncate(parts.metadata.len() / 2));
    for keep in [
        0,
        parts.weights.len() / 2,
        parts.weights.len().saturating_sub(1),
    ] {
        add(&|parts| parts.weights.truncate(keep));
    }
    for keep in [
        0,
        parts.params.len() / 2,
        parts.params.len().saturating_sub(1),
    ] {
        add(&|parts| parts.params.truncate(keep));
    }
    add(&|parts| parts.weights.fill(1));
    add(&|parts| parts.weights.fill(0));
    add(&|parts| parts.params.fill(0));
    all.retain(|smaller| smaller != blob);
    all
}

/// Takes out an operator and its output, which becomes an input of the model.
fn without_operator(parts: &mut Parts, at: usize) {
    let output = parts.program.ops.remove(at).output();
    let scale_bits = 1.0_f32.to_bits();
    let port = fewbit_runtime::format::program::Port {
        tensor: output,
        scale_bits,
    };
    parts.program.inputs.push(port);
}
