"""Writes the schemas of the operators that are imported, as the package onnx has them, for the test that walks the importer's table.

One line a version: operator, opset since which it holds, least and most operands, and each attribute as name:TYPE or name:TYPE=default.
"""

import re
from collections import defaultdict
from pathlib import Path

import onnx

ROOT = Path(__file__).resolve().parents[2] / "host/src/import/onnx"
OLDEST = 7


def default(attribute):
    if attribute.required:
        return "!"
    if not attribute.default_value.name:
        return ""
    value = onnx.helper.get_attribute_value(attribute.default_value)
    return f"={value.decode() if isinstance(value, bytes) else value}"


def main():
    names = re.findall(r'^ +op\(\n? *"(\w+)"', (ROOT / "schema.rs").read_text(), re.M)
    versions = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            versions[schema.name].append(schema)
    lines = [f"# From the schemas of the package onnx {onnx.__version__} (Apache-2.0) by scripts/onnx/schemas.py."]
    for name in sorted(names):
        found = sorted(versions[name], key=lambda schema: schema.since_version)
        nexts = [schema.since_version for schema in found[1:]] + [1 << 30]
        for schema, until in zip(found, nexts):
            if until <= OLDEST:
                continue
            most = schema.max_input if schema.max_input < 1 << 30 else "many"
            attributes = [
                f"{key}:{str(value.type).split('.')[-1]}{default(value)}"
                for key, value in sorted(schema.attributes.items())
            ]
            lines.append(" ".join([name, str(schema.since_version), str(schema.min_input), str(most), *attributes]))
    (ROOT / "tests/schemas.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
