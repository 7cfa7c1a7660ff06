"""Reference outputs of the real float models, for tests/tests/float_goldens.rs.

Made with Python 3.11, onnxruntime 1.32.0 (CPU, graph optimisations off), onnx 1.23.2, numpy 2.4.6:

    python -m venv venv && venv/bin/pip install onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
    venv/bin/python tests/golden/make_float_goldens.py MODELS_FOLDER

writes tests/golden/float/<model>.npz with
    input                     samples as the data file stores them (the test applies the transform), or, instead of it,
    noise                     [seed, low, high, samples]: inputs from the SplitMix64 recipe below, channels last, made again by the test
    output:<tensor>           the network's output for all samples
    tensor:<tensor>           some tensors in between, first sample only, channels last
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort

# Tensors in between that are worth comparing: what a graph keeps whatever an importer simplifies.
KINDS = {"Conv", "BatchNormalization", "Relu", "Clip", "Add", "Gemm", "AveragePool", "GlobalAveragePool"}
LARGEST = 16384
COUNT = 4


def uniform_noise(shape, low, high, seed):
    """Number i is SplitMix64's output for state seed + (i + 1) * golden; its upper 24 bits make the fraction, in float32."""
    golden, a, b = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    i = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    z = np.uint64(seed) + i * golden
    z = (z ^ (z >> np.uint64(30))) * a
    z = (z ^ (z >> np.uint64(27))) * b
    z ^= z >> np.uint64(31)
    fraction = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    low, high = np.float32(low), np.float32(high)
    return (low + fraction * (high - low)).reshape(shape)


def channels_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x


def make(models, target, path, stored=None, real=None, noise=None):
    model = onnx.load(models / path)
    name = pathlib.Path(path).stem
    graph = model.graph
    arrays = {}
    shape = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim][1:]
    if noise:
        seed, low, high, samples = noise
        last = shape[1:] + shape[:1] if len(shape) == 3 else shape
        x = uniform_noise([samples, *last], low, high, seed)
        x = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x
        arrays["noise"] = np.array(noise, np.float64)
    else:
        arrays["input"] = stored
        x = real
    output = graph.output[0].name
    inner = [o for n in graph.node if n.op_type in KINDS for o in n.output[:1] if o != output]
    known = {o.name for o in graph.output}
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(o) for o in inner if o not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    results = dict(zip(names, session.run(names, {graph.input[0].name: x})))
    arrays["output:" + output] = results[output]
    small = [o for o in inner if results[o][0].size <= LARGEST]
    chosen = [small[i] for i in sorted({round(k * (len(small) - 1) / (COUNT - 1)) for k in range(COUNT)})]
    for o in chosen:
        arrays["tensor:" + o] = channels_last(results[o])[0]
    np.savez_compressed(target / f"{name}.npz", **arrays)
    print(name, output, chosen, (target / f"{name}.npz").stat().st_size)


def main():
    models = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parent / "float"
    target.mkdir(exist_ok=True)
    f32 = np.float32

    images = np.load(models / "cifar10_jpeg/cifar10_jpeg_test2000.npz")["x"][[0, 501, 1002, 1503]]
    nchw = np.ascontiguousarray(np.moveaxis(images, -1, 1)).astype(f32)
    make(models, target, "resnet8/resnet8_float.onnx", stored=images, real=nchw)

    speech = np.load(models / "kws/kws01.npz")
    x = np.moveaxis(speech["x"][[0, 300, 600, 900]].astype(f32), -1, 1)
    x = (x - f32(speech["input_zero_point"])) * speech["input_scale"]
    make(models, target, "kws/kws_float.onnx", stored=x, real=x)

    stored = np.load(models / "digits/digits.npz")["x_test"][[0, 100, 200, 300]]
    real = (stored.astype(f32) / f32(256) - f32(0.3)) / f32(0.35)
    make(models, target, "digits/digits_imbalanced.onnx", stored=stored, real=real)

    make(models, target, "vww/vww_float.onnx", noise=(1, 0.0, 1.0, 2))
    make(models, target, "ad/ad_float.onnx", noise=(2, -60.0, 10.0, 4))
    make(models, target, "ad/ad_float_nobias.onnx", noise=(3, -60.0, 10.0, 4))
    make(models, target, "mobilenet_v1_025_224/mobilenet_v1_025_224_float.onnx", noise=(4, -1.0, 1.0, 2))
    make(models, target, "efficientnet_lite0/efficientnet_lite0_float.onnx", noise=(5, -1.0, 1.0, 2))


main()
