"""Runs the tests of single operators that come with the package onnx: right, refused, or wrong.

Taken are the tests of operators that the importer's table names, alone in their model, with float values in and out. The first float operand is the network's input,
the others become constants, as a network has them. Operators that treat all axes alike, or name them, get a batch axis of 1 in front, so that the test's own axes are those of
one sample; for the others the first axis is the batch. Operators that are folded are tested on constants too, of any type, where the result is finite: their result is added to an input of zeros. Tests of a later opset run in the newest one that is read, where only element types differ between them. A result that differs is wrong; a refusal has to be one of REFUSED, each of which `docs/onnx-node-tests.md` explains.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnx.backend.test.loader import load_model_tests
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

ROOT = Path(__file__).resolve().parents[2]
NEWEST = 24

# Operators whose first axis is the batch by their definition.
BATCHED = {"AveragePool", "BatchNormalization", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"}

# Why a test may be refused, by a part of the message.
REFUSED = {
    "batch": r"mixes the batch axis|batch axes differ|rank or batch axis|its batch at axis",
    "rank": r"with \d axes; supported are|has \d axes, supported are|single axis",
    "pads": r"the border's mode is|the pads are|wholly in the padding",
    "training": r"training_mode|statistics of the batch",
    "slopes": r"the slopes differ",
    "matrix": r"constant operand has the shape|operand 2 has the shape",
    "empty range": r"the lower bound \S+ lies above",
    "nothing in the axis": r"reduces an axis of size 0",
    "opset 1": r"uses opset 1,",
    "nothing to do": r"is the input itself",
}


def operators():
    text = (ROOT / "host/src/import/onnx/schema.rs").read_text()
    return set(re.findall(r'^ +op\(\n? *"(\w+)"', text, re.M))


def is_float(array):
    return isinstance(array, np.ndarray) and array.dtype == np.float32 and array.size > 0


def folded():
    text = (ROOT / "host/src/import/onnx/fold/mod.rs").read_text()
    return set(re.findall(r'"(\w+)"', text.split("FOLDED: &[&str] = &[")[1].split("];")[0]))


def imported():
    text = (ROOT / "host/src/import/onnx/ops/mod.rs").read_text()
    return set(re.findall(r'^ +"(\w+)" =>', text.split("fn find(")[1], re.M))


def taken():
    """Tests as (case, operands, result, whether the operands are constants)."""
    known = operators()
    for case in load_model_tests(kind="node"):
        graph = case.model.graph
        sets = [s.version for s in case.model.opset_import if s.domain in ("", "ai.onnx")]
        if len(graph.node) != 1 or len(sets) != 1 or graph.node[0].op_type not in known or graph.node[0].domain:
            continue
        inputs, outputs = case.data_sets[0]
        op = graph.node[0].op_type
        if op in imported() and inputs and is_float(inputs[0]) and outputs and is_float(outputs[0]):
            yield case, inputs, outputs[0], False
        plain = all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in [*inputs, *outputs])
        if op in folded() and plain and outputs[0].size > 0 and np.isfinite(outputs[0]).all():
            yield case, inputs, outputs[0], True


def opset_of(model):
    return next(s.version for s in model.opset_import if s.domain in ("", "ai.onnx"))


def differ_in_types_alone(op, opset):
    a, b = (onnx.defs.get_schema(op, max_inclusive_version=version) for version in (NEWEST, opset))
    return set(a.attributes) == set(b.attributes) and (a.min_input, a.max_input) == (b.min_input, b.max_input)


def shifted(values):
    """Axes with one more in front; those from the back stay."""
    return [int(v) + 1 if v >= 0 else int(v) for v in values]


def with_batch(node, inputs):
    """The node and its operands with an axis of 1 in front of everything."""
    op, inputs = node.op_type, list(inputs)
    rank = inputs[0].ndim
    inputs[0] = inputs[0][None]
    for attribute in node.attribute:
        if attribute.name == "axis":
            attribute.i = shifted([attribute.i])[0]
        elif attribute.name == "axes":
            attribute.ints[:] = shifted(attribute.ints)
        elif attribute.name == "perm":
            attribute.ints[:] = [0] + [p + 1 for p in attribute.ints]
    names = {attribute.name for attribute in node.attribute}
    if op == "Transpose" and "perm" not in names:
        node.attribute.append(helper.make_attribute("perm", [0, *range(rank, 0, -1)]))
    if op == "Concat":
        inputs[1:] = [array[None] for array in inputs[1:]]
    if op in ("Squeeze", "Unsqueeze") and len(inputs) > 1:
        inputs[1] = np.array(shifted(inputs[1]), np.int64)
    if op.startswith("Reduce") and not (len(inputs) > 1 and inputs[1].size) and "axes" not in names:
        if not any(a.name == "noop_with_empty_axes" and a.i for a in node.attribute):
            inputs[1:] = [np.arange(1, rank + 1)]
            if len(node.input) == 1:
                node.input.append("axes")
    elif op.startswith("Reduce") and len(inputs) > 1:
        inputs[1] = np.array(shifted(inputs[1]), np.int64)
    if op == "Reshape":
        inputs[1] = np.concatenate([[1], inputs[1]]).astype(np.int64)
    if op == "Pad":
        if len(inputs) > 3:
            inputs[3] = np.array(shifted(inputs[3]), inputs[3].dtype)
        else:
            half = len(inputs[1]) // 2
            inputs[1] = np.concatenate([[0], inputs[1][:half], [0], inputs[1][half:]]).astype(np.int64)
    return inputs


def importable(case):
    """A copy of the case's model, in the newest opset that is imported where a newer one differs in types alone."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    opset = opset_of(model)
    if opset > NEWEST and differ_in_types_alone(model.graph.node[0].op_type, opset):
        model.opset_import[0].version = NEWEST
    return model


def constant_network(case, inputs, result):
    """The model with all operands as constants, and its result added to zeros."""
    model = importable(case)
    graph = model.graph
    node = graph.node[0]
    for value, array in zip(graph.input, inputs):
        graph.initializer.append(numpy_helper.from_array(array, value.name))
    x = np.zeros((1, *(result.shape or (1,))), np.float32)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("zeros", TensorProto.FLOAT, x.shape))
    graph.node.append(helper.make_node("Cast", [node.output[0]], ["result as float"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Add", ["zeros", "result as float"], ["result plus zeros"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("result plus zeros", TensorProto.FLOAT, None))
    return model, x


def network(case, inputs):
    """The model with the first operand as input and the others as constants, and what the input gets."""
    model = importable(case)
    graph = model.graph
    node = graph.node[0]
    if node.op_type not in BATCHED:
        inputs = with_batch(node, inputs)
    names = [value.name for value in graph.input]
    names += [name for name in node.input if name not in names]
    names = [name for name in names if name]
    for name, array in list(zip(names, inputs))[1:]:
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    first = helper.make_tensor_value_info(names[0], TensorProto.FLOAT, inputs[0].shape)
    del graph.input[:]
    graph.input.append(first)
    result = graph.output[0].name
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, None))
    return model, inputs[0]


def same(found, expected, case, is_batched):
    """Whether the outputs agree; images and sequences may have come out channels-last. An order of axes has to hold for all elements."""
    rtol = case.rtol if np.isscalar(case.rtol) else 1e-3
    expected = expected if is_batched else np.asarray(expected)[None]
    candidates = [expected]
    if expected.ndim >= 3:
        candidates.append(np.moveaxis(expected, 1, -1))
    flat = found.ravel()
    return any(flat.size == c.size and np.allclose(flat, c.ravel(), rtol=rtol, atol=1e-5) for c in candidates)


def run(fewbit, folder, case, inputs, expected, are_constants):
    stem = Path(folder) / f"{case.name}{'_folded' if are_constants else ''}"
    model, x = constant_network(case, inputs, expected) if are_constants else network(case, inputs)
    onnx.save(model, f"{stem}.onnx")
    np.save(f"{stem}.x.npy", x)
    command = [fewbit, "run", f"{stem}.onnx", "--input", f"{stem}.x.npy", "--output", f"{stem}.y.npy"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        is_batched = not are_constants and model.graph.node[0].op_type in BATCHED
        expected = expected.astype(np.float32) if are_constants else expected
        return ("right" if same(np.load(f"{stem}.y.npy"), expected, case, is_batched) else "wrong"), ""
    message = done.stderr.strip().splitlines()[-1] if done.stderr else f"code {done.returncode}"
    for reason, pattern in REFUSED.items():
        if done.returncode != 101 and re.search(pattern, message):
            return f"refused: {reason}", message
    return "not to be refused", message


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fewbit", nargs="?", help="the command to test; without one, it is built")
    fewbit = parser.parse_args().fewbit
    if fewbit is None:
        subprocess.run(["cargo", "build", "--release", "--locked", "-p", "fewbit-cli"], cwd=ROOT, check=True)
        fewbit = ROOT / "target/release/fewbit"
    cases = list(taken())
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda case: run(fewbit, folder, *case), cases))
    for (case, _, _, are_constants), (verdict, message) in zip(cases, results):
        if verdict != "right":
            print(f"{case.name}{' (constants)' if are_constants else ''}: {verdict}: {message}")
    counts = Counter(verdict for verdict, _ in results)
    print(f"onnx {onnx.__version__}: {len(results)} tests")
    for verdict, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{count:5} {verdict}")
    sys.exit(1 if counts["wrong"] or counts["not to be refused"] else 0)


if __name__ == "__main__":
    main()
