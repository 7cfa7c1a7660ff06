"""Times the float networks in onnxruntime and in fewbit, in the same run, and prints the ratio."""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import onnxruntime as ort

import networks

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CASES = {"resnet8": 32, "efficientnet_lite0": 1}


def seconds(path, samples):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: samples}
    for _ in range(5):
        session.run(None, inputs)
    times = []
    for _ in range(30):
        started = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "host.json"
        command = ["cargo", "run", "--release", "-q", "-p", "xtask", "--", "bench", "host", "--json", str(report)]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        ours = {row["net"]: row["seconds"] for row in json.loads(report.read_text())["rows"]}
    for net, batch in CASES.items():
        path, calibration, _ = networks.ALL[net](arguments.models)
        theirs = seconds(path, calibration[:batch])
        print(f"{net}, batch {batch}: fewbit {1e3 * ours[net]:.2f} ms, onnxruntime {1e3 * theirs:.2f} ms, ratio {ours[net] / theirs:.2f}")


if __name__ == "__main__":
    main()
