"""The networks and splits of `cargo xtask bench accuracy`, for onnxruntime."""

import numpy as np


def cifar(models):
    return np.load(models / "cifar10_jpeg/cifar10_jpeg_test2000.npz")["x"]


def enlarged(images):
    """32x32 to 224x224, every pixel repeated."""
    return images.repeat(7, axis=1).repeat(7, axis=2)


def nchw(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)


def resnet8(models):
    x = nchw(cifar(models))
    index = np.arange(len(x))
    return models / "resnet8/resnet8_float.onnx", x[index % 4 == 0], x[index % 4 != 0]


def kws(models):
    data = np.load(models / "kws/kws01.npz")
    x = (data["x"].astype(np.float32) - data["input_zero_point"]) * data["input_scale"]
    x = x.reshape(-1, 1, 49, 10).astype(np.float32)
    index = np.arange(len(x))
    return models / "kws/kws_float.onnx", x[index % 5 == 0], x[index % 5 != 0]


def mobilenet_v1(models):
    x = cifar(models)
    prepared = [nchw(enlarged(part)) / np.float32(127.5) - np.float32(1) for part in (x[::31], x[10::20])]
    return models / "mobilenet_v1_025_224/mobilenet_v1_025_224_float.onnx", *prepared


def efficientnet_lite0(models):
    x = cifar(models)
    prepared = [(nchw(enlarged(part)) - np.float32(127)) / np.float32(128) for part in (x[::31], x[10::20])]
    return models / "efficientnet_lite0/efficientnet_lite0_float.onnx", *prepared


def mobilenetv2_cifar(models):
    from PIL import Image

    x = cifar(models)
    resized = [np.asarray(Image.fromarray(image).resize((96, 96), Image.BILINEAR)) for image in x]
    x = nchw(np.stack(resized)) / np.float32(127.5) - np.float32(1)
    index = np.arange(len(x))
    return models / "mobilenetv2_cifar/mobilenetv2_cifar_float.onnx", x[index % 16 == 0], x[index % 4 != 0]


ALL = {f.__name__: f for f in (resnet8, kws, mobilenet_v1, efficientnet_lite0, mobilenetv2_cifar)}
