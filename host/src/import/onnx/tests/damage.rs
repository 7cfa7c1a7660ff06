//! Files that want to make the import run, allocate or recurse without end.

use super::*;

#[test]
fn expansion_is_bounded() {
    let fill = |dims: &[i64]| {
        Model::new(&[4])
            .ints("d", dims)
            .node("ConstantOfShape", &["d"], "k", vec![])
            .node("Mul", &["x", "k"], "y", vec![])
    };
    for dims in [
        &[1 << 40][..],
        &[i64::MAX, i64::MAX],
        &[1 << 40, 0],
        &[1 << 20, 1 << 20],
        &[-1],
    ] {
        fill(dims).refusal();
    }
    let range = Model::new(&[4])
        .ints("from", &[i64::MIN])
        .ints("to", &[i64::MAX])
        .ints("by", &[1])
        .node("Range", &["from", "to", "by"], "k", vec![])
        .node("Reshape", &["x", "k"], "y", vec![]);
    assert!(range.refusal().contains("elements"));
    let mut doubling = Model::new(&[4]).weights("k0", &[64]);
    for step in 0..40 {
        let (from, to) = (format!("k{step}"), format!("k{}", step + 1));
        doubling = doubling.node("Concat", &[&from, &from], &to, vec![int("axis", 0)]);
    }
    let doubling = doubling.node("Mul", &["x", "k40"], "y", vec![]);
    assert!(doubling.refusal().contains("elements"));
    let mut padding = Model::new(&[4]).ints("p", &[0, 1 << 20, 0, 1 << 20]);
    let mut last = "x".to_owned();
    for step in 0..20 {
        let next = format!("p{step}");
        padding = padding.node("Pad", &[&last, "p"], &next, vec![]);
        last = next;
    }
    let padding = padding.node("Relu", &[&last], "y", vec![]);
    assert!(padding.refusal().contains("elements"));
    let mut affine = Model::new(&[1 << 22]).floats("k", &[], &[2.0]);
    let mut last = "x".to_owned();
    for step in 0..20 {
        let next = format!("a{step}");
        affine = affine.node("Mul", &[&last, "k"], &next, vec![]);
        last = next;
    }
    let affine = affine.node("Relu", &[&last], "y", vec![]);
    assert!(affine.refusal().contains("elements"));
}

#[test]
fn tensors_must_have_their_values() {
    for (dims, values) in [
        (&[3][..], 4),
        (&[-1], 1),
        (&[i64::MAX, 4], 1),
        (&[1 << 32, 1 << 32], 0),
        (&[1 << 40, 0], 0),
        (&[0], 0),
    ] {
        let model = Model::new(&[4]).floats("k", dims, &vec![1.0; values]).node(
            "Mul",
            &["x", "k"],
            "y",
            vec![],
        );
        model.refusal();
    }
    let mut torn = Model::new(&[4])
        .floats("k", &[1], &[1.0])
        .node("Mul", &["x", "k"], "y", vec![]);
    torn.graph().initializer[0].raw_data.pop();
    assert!(torn.refusal().contains("multiple of 4"));
    torn.graph().initializer[0].data_type = 99;
    assert!(torn.refusal().contains("element type 99"));
}

#[test]
fn long_chains_and_many_equal_names_take_no_time() {
    let mut model = Model::new(&[4]);
    let mut last = "x".to_owned();
    for step in 0..30_000 {
        let next = format!("v{step}");
        model = model.node("Relu", &[&last], &next, vec![]);
        last = next;
    }
    let mut model = model.node("Relu", &[&last], "y", vec![]);
    for node in &mut model.graph().node {
        node.name = "same".to_owned();
    }
    let start = std::time::Instant::now();
    assert_eq!(model.import().nodes.len(), 30_001);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// Every cut and thousands of bit flips of a network with most kinds of operators.
#[test]
fn damaged_networks_are_refused_or_read() {
    let model = Model::new(&[2, 6, 6])
        .weights("w", &[4, 2, 3, 3])
        .weights("k", &[4, 1, 1])
        .weights("d", &[36, 3])
        .ints("t", &[-1, 36])
        .ints("p", &[0, 0, 1, 1, 0, 0, 1, 1])
        .floats("lo", &[], &[0.0])
        .node("Pad", &["x", "p"], "pad", vec![])
        .node(
            "Conv",
            &["pad", "w"],
            "c",
            vec![ints("strides", &[2, 2]), string("auto_pad", "SAME_UPPER")],
        )
        .node("Add", &["c", "k"], "a", vec![])
        .node("Clip", &["a", "lo"], "l", vec![])
        .node("Transpose", &["l"], "tr", vec![ints("perm", &[0, 2, 3, 1])])
        .node(
            "Transpose",
            &["tr"],
            "bk",
            vec![ints("perm", &[0, 3, 1, 2])],
        )
        .node(
            "MaxPool",
            &["bk"],
            "m",
            vec![ints("kernel_shape", &[2, 2]), int("ceil_mode", 1)],
        )
        .node("Concat", &["m", "m"], "cc", vec![int("axis", 1)])
        .node("ReduceMean", &["cc"], "g", vec![ints("axes", &[2, 3])])
        .node("Mul", &["cc", "g"], "s", vec![])
        .node("Slice", &["t", "one", "two"], "rest", vec![])
        .ints("one", &[1])
        .ints("two", &[2])
        .ints("half", &[0, 4, -1])
        .node("Reshape", &["m", "t"], "f", vec![])
        .node("MatMul", &["f", "d"], "z", vec![])
        .node("Softmax", &["z"], "q", vec![])
        .node("Reshape", &["s", "half"], "h", vec![])
        .node("Softmax", &["h"], "hs", vec![int("axis", 1)])
        .node(
            "ReduceMean",
            &["hs"],
            "hm",
            vec![ints("axes", &[1, 2]), int("keepdims", 0)],
        )
        .node("Unsqueeze", &["hm", "one"], "hu", vec![])
        .node("Mul", &["q", "hu"], "y", vec![]);
    model.import();
    let bytes = model.bytes();
    let read = |bytes: &[u8]| {
        let result = super::super::from_bytes("net.onnx", bytes, &ImportOptions::default());
        if let Ok(graph) = &result {
            graph.validate().unwrap();
        }
        result.is_ok()
    };
    for cut in 0..bytes.len() {
        assert!(!read(&bytes[..cut]), "cut at {cut}");
    }
    let mut accepted = 0;
    let mut flips = 0;
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << bit;
            flips += 1;
            accepted += usize::from(read(&damaged));
        }
    }
    // Flips in weights and names go through, those in structure do not.
    assert!(
        accepted > flips / 10 && accepted < flips * 9 / 10,
        "{accepted} of {flips}"
    );
}
