"""Trains a ResNet of 20 layers with BatchNorm (He et al. 2016, section 4.2; projections where shapes change) on rendered shapes.

Run in this folder, for about ten minutes on one core:
    pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 tensorflow-cpu==2.21.0
    python3 deep_resnet.py
Equal seeds give the same pictures everywhere, but the same weights only on the same kind of processor.
"""

import training

STAGES = (16, 32, 64)
BLOCKS = 3


def network(net, x):
    def conv_norm(name, x, outputs, kernel, stride=1):
        return net.norm(f"{name}_bn", net.conv(name, x, outputs, kernel, stride))

    x = net.relu("stem_relu", conv_norm("stem", x, STAGES[0], 3))
    for stage, channels in enumerate(STAGES):
        for index in range(BLOCKS):
            block = f"stage{stage + 1}.block{index + 1}"
            changes = stage > 0 and index == 0
            stride = 2 if changes else 1
            y = net.relu(f"{block}.relu1", conv_norm(f"{block}.conv1", x, channels, 3, stride))
            y = conv_norm(f"{block}.conv2", y, channels, 3)
            if changes:
                x = conv_norm(f"{block}.project", x, channels, 1, stride)
            x = net.relu(f"{block}.relu2", net.add(f"{block}.add", y, x))
    return net.dense("logits", net.flatten("flatten", net.pool("pool", x)), 10)


if __name__ == "__main__":
    training.make("deep_resnet", network, opset=13, seed=20, pictures=20000, epochs=2, rate=3e-3, decay=3e-3)
