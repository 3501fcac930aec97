#!/usr/bin/env python3
"""Checks test-vectors/schema.json: it is a JSON Schema, every file of test vectors conforms to it, and it refuses each
of the malformed files that the test `vectors` gives to the runner (tests/vectors/malformed.json).

Needs the packages of test-vectors/check.py.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT / "test-vectors"
sys.path.insert(0, str(VECTORS))

from jsonschema import Draft202012Validator  # noqa: E402

from check import SCHEMA, VALIDATOR, format_faults  # noqa: E402


def malformed(row):
    """Returns the file of a row, with the fault of the row."""
    document = json.loads((VECTORS / row["file"]).read_text("utf-8"))
    place = document
    for step in row["at"]:
        place = place[step]
    place.update(row.get("set", {}))
    for name in row.get("remove", []):
        del place[name]
    return document


def names(row, fault):
    """Whether an error message names the member of the row: at the end of its path, or in quotation marks."""
    path, _, message = fault.partition(": ")
    name = row["names"]
    last = name.rsplit(".", 1)[-1]
    return f".{name}" in path or f"'{last}'" in message


def main():
    Draft202012Validator.check_schema(VALIDATOR.schema)
    faults = []
    files = [path for path in sorted(VECTORS.glob("*.json")) if path != SCHEMA]
    for path in files:
        for fault in format_faults(json.loads(path.read_text("utf-8"))):
            faults.append(f"{path.name}: {fault}")
    rows = json.loads((ROOT / "tests/vectors/malformed.json").read_text("utf-8"))
    for row in rows:
        document = malformed(row)
        by_schema = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]
        if row.get("schema", True):
            if not by_schema:
                faults.append(f"{row['about']}: the schema accepts it")
            elif not any(names(row, fault) for fault in by_schema):
                faults.append(f"{row['about']}: {by_schema} do not name {row['names']}")
        elif by_schema:
            faults.append(f"{row['about']}: the schema refuses it, against what the row says")
        if not format_faults(document):
            faults.append(f"{row['about']}: check.py accepts it")
    for fault in faults:
        print(f"test-vectors/schema.json: {fault}", file=sys.stderr)
    print(f"test-vectors/schema.json: {len(files)} files, {len(rows)} malformed ones, {len(faults)} faults")
    return 1 if faults or not files or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
