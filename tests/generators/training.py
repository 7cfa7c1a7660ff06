"""Trains small convolutional networks and writes them as ONNX files, BatchNormalization unfolded.

A network is a function of a builder and an input, which calls one method of the builder for each operator. It runs with two builders:
`Training` computes with TensorFlow (NHWC) and owns the weights, `Export` writes nodes (NCHW).
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

import synthetic_images

EPSILON = 1e-5
# How much of the running statistics a step keeps.
STATISTICS_MOMENTUM = 0.99
# Momentums of Adam.
FIRST, SECOND = 0.9, 0.99
BATCH = 32
WARM_UP = 100
# The largest difference between logits of the trained and the exported network.
TOLERANCE = 1e-3

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


class Training:
    """Computes a network; weights appear when they are first used."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        # What gradients change, and running statistics, by name; weights are HWIO.
        self.weights, self.statistics = {}, {}
        self.is_training = True

    def weight(self, name, shape, deviation=0.0, mean=0.0):
        if name not in self.weights:
            values = mean + deviation * self.random.standard_normal(shape)
            self.weights[name] = tf.Variable(values.astype(np.float32), name=name)
        return self.weights[name]

    def statistic(self, name, channels, value):
        if name not in self.statistics:
            self.statistics[name] = tf.Variable(np.full(channels, value, np.float32), name=name, trainable=False)
        return self.statistics[name]

    def conv(self, name, x, outputs, kernel, stride=1, bias=False):
        inputs = x.shape[-1]
        weights = self.weight(f"{name}.weight", (kernel, kernel, inputs, outputs), np.sqrt(2 / (kernel * kernel * inputs)))
        x = tf.nn.conv2d(pad(x, kernel // 2), weights, stride, "VALID")
        return x + self.weight(f"{name}.bias", outputs) if bias else x

    def depthwise(self, name, x, kernel, stride=1):
        weights = self.weight(f"{name}.weight", (kernel, kernel, x.shape[-1], 1), np.sqrt(2) / kernel)
        return tf.nn.depthwise_conv2d(pad(x, kernel // 2), weights, (1, stride, stride, 1), "VALID")

    def norm(self, name, x):
        channels = x.shape[-1]
        gamma, beta = self.weight(f"{name}.weight", channels, mean=1.0), self.weight(f"{name}.bias", channels)
        running = self.statistic(f"{name}.running_mean", channels, 0.0), self.statistic(f"{name}.running_var", channels, 1.0)
        if not self.is_training:
            return tf.nn.batch_normalization(x, *running, beta, gamma, EPSILON)
        # Means by matrix products, which are fast on one core.
        rows = tf.reshape(x, (-1, channels))
        average = tf.fill((1, len(rows)), 1 / len(rows))
        mean = (average @ rows)[0]
        variance = tf.nn.relu((average @ tf.square(rows))[0] - tf.square(mean))
        for statistic, value in zip(running, (mean, variance)):
            statistic.assign(STATISTICS_MOMENTUM * statistic + (1 - STATISTICS_MOMENTUM) * value)
        scale = gamma * tf.math.rsqrt(variance + EPSILON)
        return x * scale + (beta - mean * scale)

    def dense(self, name, x, outputs):
        weights = self.weight(f"{name}.weight", (x.shape[-1], outputs), np.sqrt(1 / x.shape[-1]))
        return x @ weights + self.weight(f"{name}.bias", outputs)

    def relu(self, _, x):
        return tf.nn.relu(x)

    def hard_swish(self, _, x):
        return x * tf.nn.relu6(x + 3) * (1 / 6)

    def hard_sigmoid(self, _, x):
        return tf.nn.relu6(x + 3) * (1 / 6)

    def add(self, _, x, y):
        return x + y

    def mul(self, _, x, y):
        return x * y

    def pool(self, _, x):
        return tf.reduce_mean(x, (1, 2), keepdims=True)

    def flatten(self, _, x):
        return tf.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3]))


def pad(x, border):
    return tf.pad(x, ((0, 0), (border, border), (border, border), (0, 0))) if border else x


class Export:
    """Writes a network with the weights of a training; a tensor is (name, channels)."""

    def __init__(self, training):
        self.values = {name: value.numpy() for name, value in (training.weights | training.statistics).items()}
        self.nodes, self.initializers = [], []

    def constant(self, name, *order):
        values = self.values[name]
        values = np.ascontiguousarray(values.transpose(order) if order else values)
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op, name, channels, *inputs, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name, channels

    def convolution(self, name, x, outputs, kernel, stride, groups, order, bias=False):
        inputs = [x[0], self.constant(f"{name}.weight", *order)] + ([self.constant(f"{name}.bias")] if bias else [])
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        return self.node("Conv", name, outputs, *inputs, **attributes)

    def conv(self, name, x, outputs, kernel, stride=1, bias=False):
        return self.convolution(name, x, outputs, kernel, stride, 1, (3, 2, 0, 1), bias)

    def depthwise(self, name, x, kernel, stride=1):
        return self.convolution(name, x, x[1], kernel, stride, x[1], (2, 3, 0, 1))

    def norm(self, name, x):
        parameters = [self.constant(f"{name}.{key}") for key in ("weight", "bias", "running_mean", "running_var")]
        return self.node("BatchNormalization", name, x[1], x[0], *parameters, epsilon=EPSILON)

    def dense(self, name, x, outputs):
        return self.node("Gemm", name, outputs, x[0], self.constant(f"{name}.weight", 1, 0), self.constant(f"{name}.bias"), transB=1)

    def relu(self, name, x):
        return self.node("Relu", name, x[1], x[0])

    def hard_swish(self, name, x):
        return self.node("HardSwish", name, x[1], x[0])

    def hard_sigmoid(self, name, x):
        return self.node("HardSigmoid", name, x[1], x[0], alpha=1 / 6, beta=0.5)

    def add(self, name, x, y):
        return self.node("Add", name, x[1], x[0], y[0])

    def mul(self, name, x, y):
        return self.node("Mul", name, x[1], x[0], y[0])

    def pool(self, name, x):
        return self.node("GlobalAveragePool", name, x[1], x[0])

    def flatten(self, name, x):
        return self.node("Flatten", name, x[1], x[0])


def export(training, network, name, opset):
    """The model; the network's last operator must be called `logits`."""
    size, classes = synthetic_images.SIZE, len(synthetic_images.CLASSES)
    builder = Export(training)
    output, _ = network(builder, ("input", 3))
    graph = helper.make_graph(
        builder.nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", classes])],
        builder.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="fewbit")
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    return model


def channels_last(pictures):
    """Pictures as the network takes them."""
    return pictures.transpose(0, 2, 3, 1).astype(np.float32) / 255


def augmented(random, batch):
    """Turned and mirrored, all pictures of the batch alike."""
    batch = np.rot90(batch, random.integers(4), (1, 2))
    return np.ascontiguousarray(batch[:, ::-1] if random.integers(2) else batch)


def train(network, seed, pictures, epochs, rate, decay):
    """Adam with a cosine schedule; weight decay is part of the gradients and acts on all but biases, the gammas of BatchNorms too."""
    training = Training(seed)
    x, y = synthetic_images.images("training", pictures)
    x = channels_last(x)
    network(training, tf.constant(x[:2]))
    variables = list(training.weights.values())
    decays = [0.0 if variable.name.split(":")[0].endswith(".bias") else decay for variable in variables]
    moments = [[tf.Variable(tf.zeros_like(variable)) for variable in variables] for _ in range(2)]

    @tf.function
    def step(x, y, rate):
        with tf.GradientTape() as tape:
            logits = network(training, x)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        for variable, first, second, gradient, decay in zip(variables, *moments, tape.gradient(loss, variables), decays):
            gradient += decay * variable
            first.assign(FIRST * first + (1 - FIRST) * gradient)
            second.assign(SECOND * second + (1 - SECOND) * tf.square(gradient))
            variable.assign_sub(rate * first / (tf.sqrt(second) + 1e-8))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(logits, 1, tf.int32) == y, tf.float32))

    per_epoch = pictures // BATCH
    steps, done, sums, start = epochs * per_epoch, 0, np.zeros(2), time.process_time()
    for _ in range(epochs):
        order = training.random.permutation(pictures)
        for index in range(per_epoch):
            chosen = order[index * BATCH : (index + 1) * BATCH]
            factor = min((done + 1) / WARM_UP, 1) * (1 + np.cos(np.pi * done / steps)) / 2
            batch = tf.constant(augmented(training.random, x[chosen])), tf.constant(y[chosen].astype(np.int32))
            sums += [value.numpy() for value in step(*batch, tf.constant(rate * factor, tf.float32))]
            done += 1
            if done % 100 == 0:
                seconds = time.process_time() - start
                print(f"step {done} of {steps}: loss {sums[0] / 100:.3f}, accuracy {sums[1] / 100:.3f}, {seconds:.0f} s", flush=True)
                sums[:] = 0
    training.is_training = False
    return training


def check(training, network, model):
    """Compares the exported with the trained network and tells the accuracy on the evaluation pictures."""
    x, y = synthetic_images.images("evaluation", synthetic_images.EVALUATION)
    trained = np.concatenate([network(training, part).numpy() for part in np.array_split(channels_last(x), 10)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {"input": x.astype(np.float32) / 255})
    difference = np.abs(trained - exported).max()
    print(f"accuracy {(exported.argmax(1) == y).mean():.3f}, largest difference of exported logits {difference:.1e}")
    assert difference < TOLERANCE, "the exported network computes something else"


def make(name, network, opset, **how):
    """Trains, checks and saves a network to ../models/<name>/<name>.onnx."""
    training = train(network, **how)
    model = export(training, network, name, opset)
    check(training, network, model)
    folder = synthetic_images.FILE.parent.parent / name
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / f"{name}.onnx")
