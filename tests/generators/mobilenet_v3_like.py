"""Trains a network like MobileNetV3-Small (Howard et al. 2019) on rendered shapes: squeeze-and-excitation, hard swish, BatchNorm.

Run in this folder, for about ten minutes on one core:
    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 tensorflow-cpu==2.21.0
    python3 mobilenet_v3_like.py
Equal seeds give the same pictures everywhere, but the same weights only on the same kind of processor.
"""

import training

STEM, LAST, HIDDEN = 16, 192, 256
# Kernel, expanded channels, outputs, whether squeeze-and-excitation, activation, stride.
BLOCKS = (
    (3, 16, 16, True, "relu", 1),
    (3, 56, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 32, True, "hard_swish", 1),
    (5, 128, 32, True, "hard_swish", 1),
    (5, 128, 32, True, "hard_swish", 1),
    (5, 96, 40, True, "hard_swish", 1),
    (5, 120, 40, True, "hard_swish", 1),
    (5, 160, 64, True, "hard_swish", 2),
    (5, 256, 64, True, "hard_swish", 1),
    (5, 256, 64, True, "hard_swish", 1),
)


def squeeze_excite(net, name, x, channels):
    """Multiplies each channel by a gate that sees the means of all."""
    squeezed = -(-channels // 32) * 8
    y = net.relu(f"{name}.relu", net.conv(f"{name}.reduce", net.pool(f"{name}.pool", x), squeezed, 1, bias=True))
    gate = net.hard_sigmoid(f"{name}.gate", net.conv(f"{name}.expand", y, channels, 1, bias=True))
    return net.mul(f"{name}.mul", x, gate)


def block(net, name, x, inputs, kernel, expanded, outputs, excites, activation, stride):
    def norm_act(name, x):
        return getattr(net, activation)(f"{name}_{activation}", net.norm(f"{name}_bn", x))

    y = x
    if expanded != inputs:
        y = norm_act(f"{name}.expand", net.conv(f"{name}.expand", y, expanded, 1))
    y = norm_act(f"{name}.depthwise", net.depthwise(f"{name}.depthwise", y, kernel, stride))
    if excites:
        y = squeeze_excite(net, f"{name}.se", y, expanded)
    y = net.norm(f"{name}.project_bn", net.conv(f"{name}.project", y, outputs, 1))
    return net.add(f"{name}.add", x, y) if stride == 1 and inputs == outputs else y


def network(net, x):
    x = net.hard_swish("stem_hard_swish", net.norm("stem_bn", net.conv("stem", x, STEM, 3, stride=2)))
    inputs = STEM
    for index, (kernel, expanded, outputs, *rest) in enumerate(BLOCKS):
        x = block(net, f"block{index + 1}", x, inputs, kernel, expanded, outputs, *rest)
        inputs = outputs
    x = net.hard_swish("last_hard_swish", net.norm("last_bn", net.conv("last", x, LAST, 1)))
    x = net.dense("hidden", net.flatten("flatten", net.pool("pool", x)), HIDDEN)
    return net.dense("logits", net.hard_swish("hidden_hard_swish", x), 10)


if __name__ == "__main__":
    training.make("mobilenet_v3_like", network, opset=14, seed=3, pictures=24000, epochs=4, rate=3e-3, decay=1e-4)
