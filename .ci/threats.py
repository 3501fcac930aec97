#!/usr/bin/env python3
"""Checks tests/THREATS.md: every number has a row, and every test that a row names exists.

The last cell of a row names tests in backticks:
    binary::module::function   a #[test] function in tests/<binary>/<module>.rs
    path.rs: function          a #[test] function in another source file
    path: word                 a word in another file, such as a lint in Cargo.toml
    path                       a file of test vectors, a fuzz target, a script
or it begins with "pending:" and a reason, and may name what is tested already.

Usage: threats.py [root of the repository]
"""

import re
import sys
from pathlib import Path

REQUIRED = [
    f"{letter}-{number:02}"
    for letter, last in (("C", 75), ("S", 9), ("Q", 39), ("V", 63), ("QV", 18))
    for number in range(1, last + 1)
]
ROW = re.compile(r"^\|\s*([A-Z]+-\d+)\s*\|(.*)\|([^|]*)\|\s*$")
TEST = re.compile(r"\w+(?:::\w+)+")
# Files that are tests by themselves. A source file needs the name of a function.
FOLDERS = ("test-vectors/", "fuzz/", "tests/", "benches/", ".ci/", "examples/")


def has_test(file, name):
    """Whether the file has a #[test] function of that name, with other attributes and comments in between."""
    between = r"(?:(?:#\[[^\n]*\]|//[^\n]*)\s*)*"
    pattern = rf"#\[test\]\s*{between}fn {re.escape(name)}\("
    return re.search(pattern, file.read_text(encoding="utf-8")) is not None


def module_file(root, binary, modules):
    """The file of a module of a test binary."""
    base = root / "tests" / binary
    if not modules:
        candidates = [base / "main.rs", root / "tests" / f"{binary}.rs"]
    else:
        path = base.joinpath(*modules)
        candidates = [path.with_suffix(".rs"), path / "mod.rs"]
    return next((file for file in candidates if file.is_file()), None)


def check_reference(root, reference):
    """Returns whether the text in backticks names a test, and what is wrong with it, if anything is."""
    if TEST.fullmatch(reference):
        binary, *modules, name = reference.split("::")
        file = module_file(root, binary, modules)
        if file is None:
            return True, f"{reference}: there is no such module in tests/{binary}"
        if not has_test(file, name):
            return True, f"{reference}: {file.relative_to(root)} has no test of that name"
        return True, None
    path, _, name = (part.strip() for part in reference.partition(": "))
    if name and "/" in path or name and (root / path).is_file():
        file = root / path
        if not file.is_file():
            return True, f"{reference}: there is no file {path}"
        if path.endswith(".rs") and not has_test(file, name):
            return True, f"{reference}: {path} has no test of that name"
        if not path.endswith(".rs") and name not in file.read_text(encoding="utf-8"):
            return True, f"{reference}: {path} does not contain it"
        return True, None
    if "/" in path and not any(c in path for c in " <>"):
        if not (root / path).exists():
            return True, f"{reference}: there is no such file"
        if not path.startswith(FOLDERS):
            return True, f"{reference}: name the test function, as in `{path}: function`"
        return True, None
    return False, None


def check(root):
    """Returns the number of rows and the list of faults."""
    faults = []
    rows = {}
    table = root / "tests" / "THREATS.md"
    for line in table.read_text(encoding="utf-8").splitlines():
        row = ROW.match(line)
        if row is None:
            if re.match(r"^\|\s*[A-Z]+-\d", line):
                faults.append(f"not a row of three cells with one number: {line[:80]}")
            continue
        number, statement, tests = row.group(1), row.group(2).strip(), row.group(3).strip()
        if number in rows:
            faults.append(f"{number} has two rows")
        rows[number] = tests
        if not statement:
            faults.append(f"{number} says nothing")
        named = 0
        for reference in re.findall(r"`([^`]*)`", tests):
            is_test, fault = check_reference(root, reference)
            named += is_test
            if fault is not None:
                faults.append(f"{number}: {fault}")
        pending = re.match(r"pending:\s*[^\s`]", tests)
        if tests.startswith("pending") and not pending:
            faults.append(f"{number} is pending without a reason")
        elif not named and not pending:
            faults.append(f"{number} names no test")
    faults += [f"{number} has no row" for number in REQUIRED if number not in rows]
    return rows, faults


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    rows, faults = check(root)
    for fault in faults:
        print(f"tests/THREATS.md: {fault}", file=sys.stderr)
    pending = sum(tests.startswith("pending") for tests in rows.values())
    print(f"tests/THREATS.md: {len(rows)} rows checked, {pending} pending, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
