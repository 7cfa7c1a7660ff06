"""Makes the cases `tests/cases/opset*`: models in the forms of opsets 7 to 10, and what onnxruntime makes of them.

Run with --check to compare onnxruntime's results with what is stored, instead of writing.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

CASES = Path(__file__).resolve().parents[2] / "tests/cases"


class Net:
    def __init__(self, opset, shape, seed):
        self.opset, self.shape = opset, shape
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs.split(), [output], name=output, **attributes))

    def constant(self, name, array):
        array = np.asarray(array)
        self.constants.append(onnx.numpy_helper.from_array(array, name))

    def floats(self, name, *shape, low=None):
        array = self.random.normal(size=shape).astype(np.float32) * 0.5
        self.constant(name, array if low is None else np.abs(array) + np.float32(low))

    def save(self, name, samples=4):
        info = helper.make_tensor_value_info
        # Before version 4 of the file format constants are inputs too.
        inputs = [info("x", TensorProto.FLOAT, ["N", *self.shape])]
        inputs += [info(c.name, c.data_type, list(c.dims)) for c in self.constants]
        graph = helper.make_graph(self.nodes, "g", inputs, [info("y", TensorProto.FLOAT, None)], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=3)
        x = self.random.normal(size=(samples, *self.shape)).astype(np.float32)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        bytes_ = model.SerializeToString()
        expected = ort.InferenceSession(bytes_, options, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]
        folder = CASES / name
        if "--check" in sys.argv:
            stored = np.load(folder / "data.npz")
            assert np.allclose(stored["expected"], expected, atol=1e-6), name
            return
        folder.mkdir(exist_ok=True)
        (folder / "model.onnx").write_bytes(bytes_)
        np.savez_compressed(folder / "data.npz", x=x, expected=expected)


def opset7():
    net = Net(7, [3, 9, 9], 7)
    net.floats("w", 6, 3, 3, 3)
    for name in ["gamma", "beta", "mean"]:
        net.floats(name, 6)
    net.floats("variance", 6, low=0.5)
    net.floats("d", 24, 5)
    net.floats("e", 1, 5)
    net.node("Conv", "x w", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    net.node("BatchNormalization", "c gamma beta mean variance", "n", spatial=1, momentum=0.9, epsilon=1e-4)
    net.node("LeakyRelu", "n", "r", alpha=0.1)
    net.node("MaxPool", "r", "m", kernel_shape=[2, 2], strides=[2, 2])
    net.node("AveragePool", "m", "a", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1)
    net.node("Dropout", "a", "o", ratio=0.4)
    net.node("Flatten", "o", "f")
    net.node("Gemm", "f d e", "g", alpha=0.5, beta=2.0)
    net.node("Softmax", "g", "y")
    net.save("opset7_forms")


def opset8():
    net = Net(8, [4, 8, 8], 8)
    net.floats("w", 4, 1, 3, 3)
    net.floats("b", 4)
    net.floats("bias", 1)
    net.constant("shape", np.array([4, 1, 1], np.int64))
    net.floats("slope", 1)
    net.node("Conv", "x w b", "c", kernel_shape=[3, 3], auto_pad="SAME_UPPER", group=4)
    net.node("PRelu", "c slope", "p")
    net.node("MaxPool", "p", "m", kernel_shape=[2, 2], strides=[2, 2], storage_order=1)
    net.node("Expand", "bias shape", "k")
    net.node("Add", "m k", "a")
    net.node("Sum", "a m m", "s")
    net.node("HardSigmoid", "s", "h", alpha=0.25, beta=0.4)
    net.node("Concat", "h s", "y", axis=1)
    net.save("opset8_forms")


def opset9():
    net = Net(9, [3, 6, 6], 9)
    net.floats("w", 4, 3, 3, 3)
    net.floats("k", 2, 8)
    net.constant("rest", np.array([-1], np.int64))
    net.node("Pad", "x", "p", pads=[0, 0, 1, 0, 0, 0, 1, 2], value=0.5)
    net.node("Conv", "p w", "c")
    net.node("Clip", "c", "l", min=-0.25, max=0.75)
    net.node("ReduceMean", "l", "v", axes=[3], keepdims=0)
    net.node("Unsqueeze", "v", "u", axes=[2])
    net.node("Squeeze", "u", "q", axes=[2])
    net.node("Shape", "q", "s")
    net.node("Slice", "s", "n", starts=[0], ends=[1], axes=[0])
    net.node("Concat", "n rest", "t", axis=0)
    net.node("Reshape", "q t", "f")
    net.node("Slice", "k", "k8", starts=[1], ends=[2])
    net.floats("d", 24, 8)
    net.node("MatMul", "f d", "m")
    net.node("Add", "m k8", "y")
    net.save("opset9_forms")


def opset10():
    net = Net(10, [3, 7, 7], 10)
    net.constant("q", np.arange(-54, 54, dtype=np.int8).reshape(4, 3, 3, 3))
    net.constant("scale", np.float32(0.01))
    net.constant("zero", np.int8(3))
    net.floats("long", 6, 1, 1)
    for name, value in [("from", [1]), ("to", [5]), ("axis", [0]), ("step", [1])]:
        net.constant(name, np.array(value, np.int64))
    net.node("DequantizeLinear", "q scale zero", "w")
    net.node("Conv", "x w", "c", dilations=[1, 2])
    net.node("AveragePool", "c", "a", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    net.node("MaxPool", "a", "m", kernel_shape=[2, 1], strides=[2, 1], ceil_mode=1, dilations=[1, 1])
    net.node("Slice", "long from to axis step", "k")
    net.node("Mul", "m k", "n")
    net.node("Softmax", "n", "y", axis=1)
    net.save("opset10_forms")


if __name__ == "__main__":
    opset7()
    opset8()
    opset9()
    opset10()
