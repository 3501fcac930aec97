#!/usr/bin/env python3
"""Checks files of test vectors without the crate and without the code of generate.py.

    python3 check.py FILE...        prints a line per failed case, then "N passed, N failed"

Exits with 1 if a case failed. The rules are in the package `checker`, a plain reading of the RFCs. Of a
rejected proof it demands more than the outcome: the named check has to fail, and the proof has to pass once
that one check is left out (unless the case says `sole: false`). Needs the `cryptography` package (see
README.md).
"""

import json
import sys

sys.dont_write_bytecode = True  # a run leaves no __pycache__ behind

from checker.kinds import CHECKS  # noqa: E402


def check_file(path):
    """Returns the number of passed cases and a line per failure."""
    with open(path, encoding="utf-8") as file:
        table = json.load(file)
    passed, failures = 0, []
    ids = [case["id"] for case in table["cases"]]
    for repeated in sorted({id for id in ids if ids.count(id) > 1}):
        failures.append(f"{path}: {repeated}: the id is used twice")
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
        passed_here, failures = check_file(path)
        passed, failed = passed + passed_here, failed + len(failures)
        for line in failures:
            print(line)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
