#!/usr/bin/env python3
"""Counts the instructions of what stands around a signature, and compares them with the committed figures.

    benches/instructions.py           # fails where a count is off by more than 5 %
    benches/instructions.py --write   # writes the figures anew

Needs valgrind. A count does not depend on the machine's speed or load. It does on the compiler, so a new rustc may want new figures.
iai-callgrind would do it too, with a runner to install and its figures kept in `target`, not beside the code.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FIGURES = HERE / "instructions.json"
TIMES = 100
ALLOWED = 0.05


def build():
    command = ["cargo", "bench", "--no-default-features", "--bench", "instructions", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = [json.loads(line) for line in lines if line.startswith("{")]
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "instructions")


def count(program, what, times):
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", program, what, str(times)]
        text = subprocess.run(command, check=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True).stderr
    return int(re.search(r"Collected : (\d+)", text)[1])


def main():
    rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    program = build()
    # What is not repeated (starting, making the inputs) is in both counts.
    seen = {
        what: round((count(program, what, TIMES) - count(program, what, 0)) / TIMES)
        for what in ("proof", "check", "nonce")
    }
    if "--write" in sys.argv:
        FIGURES.write_text(json.dumps({"rustc": rustc, "instructions": seen}, indent=2) + "\n")
    committed = json.loads(FIGURES.read_text())
    failed = False
    for what, now in seen.items():
        before = committed["instructions"][what]
        change = now / before - 1
        failed |= abs(change) > ALLOWED
        print(f"{what:6} {now:7} instructions, {before:7} committed: {change:+.1%}{'  FAILED' if abs(change) > ALLOWED else ''}")
    if failed:
        sys.exit(
            f"off by more than {ALLOWED:.0%} (figures are of rustc {committed['rustc']}, this is {rustc}):"
            " mend it, or write the figures anew with --write and say why"
        )


main()
