#!/usr/bin/env python3
"""Checks files of test vectors without the crate and without the code of generate.py.

    python3 check.py FILE...        prints a line per failed case, then "N passed, N failed"

Exits with 1 if a case failed. The files must conform to schema.json, and the ids of a file must differ: a case
with a misspelt member could pass without testing anything. The rules of the cases are in the package `checker`,
a plain reading of the RFCs. Of a rejected proof it demands more than the outcome: the named check has to fail,
and the proof has to pass once that one check is left out (unless the case says `sole: false`). Needs the packages
`cryptography` and `jsonschema` (see README.md).
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True  # a run leaves no __pycache__ behind

from jsonschema import Draft202012Validator  # noqa: E402

from checker.kinds import CHECKS  # noqa: E402

SCHEMA = pathlib.Path(__file__).with_name("schema.json")
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def unique_members(pairs):
    """Builds an object; a repeated member is an error, where Python would take the last one."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError("the member %s occurs twice" % next(n for n in names if names.count(n) > 1))
    return members


def format_faults(table):
    """Returns a line per fault in the format of a file."""
    faults = [f"{error.json_path}: {error.message[:300]}" for error in VALIDATOR.iter_errors(table)]
    if not faults:
        ids = [case["id"] for case in table["cases"]]
        faults += [f"the id {id} is used twice" for id in sorted({id for id in ids if ids.count(id) > 1})]
    return faults


def check_file(path):
    """Returns the number of passed cases and a line per failure."""
    try:
        table = json.loads(pathlib.Path(path).read_text("utf-8"), object_pairs_hook=unique_members)
        faults = format_faults(table)
    except (OSError, ValueError) as error:
        faults = [str(error)]
    if faults:
        return 0, [f"{path}: {fault}" for fault in faults]
    passed, failures = 0, []
    for case in table["cases"]:
        try:
            CHECKS[table["kind"]](case)
            passed += 1
        except Exception as error:
            failures.append(f"{path}: {case['id']}: {str(error)[:300]}")
    return passed, failures


def main(paths):
    passed = failed = 0
    for path in paths:
        if pathlib.Path(path).resolve() == SCHEMA.resolve():
            continue
        passed_here, failures = check_file(path)
        passed, failed = passed + passed_here, failed + len(failures)
        for line in failures:
            print(line)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
