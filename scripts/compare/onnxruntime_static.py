"""Static quantization by onnxruntime, measured as `cargo xtask bench accuracy` measures: SQNR of the logits against float."""

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import networks

logging.getLogger().setLevel(logging.ERROR)


class Reader(CalibrationDataReader):
    def __init__(self, name, samples, batch):
        self.batches = iter([{name: samples[i : i + batch]} for i in range(0, len(samples), batch)])

    def get_next(self):
        return next(self.batches, None)


def with_logits(path, out):
    """The model without its final softmax."""
    model = onnx.load(path)
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
        model.graph.node.remove(last)
    onnx.save(model, out)


def run(path, samples):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: samples[i : i + 20]})[0] for i in range(0, len(samples), 20)]
    return np.concatenate(parts).reshape(len(samples), -1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=networks.ALL)
    arguments = parser.parse_args()
    rows = []
    for net, load in networks.ALL.items():
        if arguments.only not in (None, net):
            continue
        path, calibration, evaluation = load(arguments.models)
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            with_logits(path, folder / "logits.onnx")
            quant_pre_process(folder / "logits.onnx", folder / "float.onnx", skip_symbolic_shape=True)
            reference = run(folder / "float.onnx", evaluation)
            name = ort.InferenceSession(folder / "float.onnx").get_inputs()[0].name
            for per_channel in (False, True):
                for method in (CalibrationMethod.MinMax, CalibrationMethod.Percentile):
                    started = time.time()
                    quantize_static(
                        folder / "float.onnx",
                        folder / "int8.onnx",
                        Reader(name, calibration, 5),
                        quant_format=QuantFormat.QDQ,
                        per_channel=per_channel,
                        activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8,
                        calibrate_method=method,
                        extra_options={"WeightSymmetric": True},
                    )
                    seconds = time.time() - started
                    found = run(folder / "int8.onnx", evaluation)
                    noise = ((found - reference) ** 2).sum()
                    row = {
                        "net": net,
                        "granularity": "per-channel" if per_channel else "per-tensor",
                        "method": method.name,
                        "sqnr_db": round(float(10 * np.log10((reference**2).sum() / noise)), 2),
                        "changed": int((found.argmax(1) != reference.argmax(1)).sum()),
                        "samples": len(evaluation),
                        "seconds": round(seconds, 1),
                    }
                    print(row, flush=True)
                    rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
