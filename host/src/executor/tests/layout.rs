//! Operators that move values.

use super::*;

#[test]
fn layout_operators_move_elements() {
    let input: Vec<f32> = (0..2 * 24).map(|i| i as f32).collect();
    let run = |graph: &Graph| Executor::new(graph).unwrap().forward(&input, 2).unwrap();
    let shape = [2, 3, 4];

    let graph = single(
        Op::Transpose {
            perm: vec![2, 0, 1],
        },
        &[&shape],
        &[],
    );
    let mut expected = Vec::new();
    for sample in 0..2 {
        for c in 0..4 {
            for y in 0..2 {
                for x in 0..3 {
                    expected.push((sample * 24 + (y * 3 + x) * 4 + c) as f32);
                }
            }
        }
    }
    assert_eq!(run(&graph), expected);

    let pad = Op::Pad {
        before: vec![1, 0, 2],
        after: vec![0, 2, 1],
        value: -7.0,
    };
    let graph = single(pad, &[&shape], &[]);
    let mut expected = Vec::new();
    for sample in 0..2 {
        for y in 0..3 {
            for x in 0..5 {
                for c in 0..7 {
                    let inside = y >= 1 && x < 3 && (2..6).contains(&c);
                    expected.push(match inside {
                        true => (sample * 24 + ((y - 1) * 3 + x) * 4 + c - 2) as f32,
                        false => -7.0,
                    });
                }
            }
        }
    }
    assert_eq!(run(&graph), expected);

    let graph = single(Op::Reshape, &[&shape], &[6, 4]);
    assert_eq!(run(&graph), input);
}

#[test]
fn concat_joins_along_every_axis() {
    for axis in 0..3 {
        let mut shapes = [[2, 3, 4]; 3];
        shapes[1][axis] = 5;
        shapes[2][axis] = 1;
        let refs: Vec<&[usize]> = shapes.iter().map(|shape| &shape[..]).collect();
        let graph = single(Op::Concat { axis }, &refs, &[]);
        let executor = Executor::new(&graph).unwrap();
        let lens = shapes.map(|shape| shape.iter().product::<usize>());
        let input: Vec<f32> = (0..2 * lens.iter().sum::<usize>())
            .map(|i| i as f32)
            .collect();
        let out = graph.tensors[graph.outputs[0]].shape.clone();
        let mut expected = Vec::new();
        for sample in input.chunks_exact(lens.iter().sum()) {
            for index in 0..out.iter().product() {
                let mut at = [
                    index / (out[1] * out[2]),
                    index / out[2] % out[1],
                    index % out[2],
                ];
                let mut part = 0;
                while at[axis] >= shapes[part][axis] {
                    at[axis] -= shapes[part][axis];
                    part += 1;
                }
                let start: usize = lens[..part].iter().sum();
                let shape = shapes[part];
                expected.push(sample[start + (at[0] * shape[1] + at[1]) * shape[2] + at[2]]);
            }
        }
        assert_eq!(executor.forward(&input, 2).unwrap(), expected);
    }
}
