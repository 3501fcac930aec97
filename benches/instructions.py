#!/usr/bin/env python3
"""Counts the instructions of each operation without its signature, and compares them with the committed figures.

    benches/instructions.py           # exit status 1 if a count differs by more than 5 %
    benches/instructions.py --write   # writes new figures

It needs valgrind. A count depends neither on the speed of the machine nor on its load, but it depends on the compiler: a new
rustc may need new figures. iai-callgrind would need a runner and would keep its figures in `target`, not beside the code.
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
    features = ["--no-default-features", "--features", "testing"]
    command = ["cargo", "bench", *features, "--bench", "instructions", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = [json.loads(line) for line in lines if line.startswith("{")]
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "instructions")


def count(program, operation, times):
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", program, operation, str(times)]
        text = subprocess.run(command, check=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True).stderr
    return int(re.search(r"Collected : (\d+)", text)[1])


def main():
    rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
    program = build()
    # What is done once (the start, making the inputs) is in both counts and cancels out.
    counts = {
        operation: round((count(program, operation, TIMES) - count(program, operation, 0)) / TIMES)
        for operation in ("proof", "check", "nonce")
    }
    if "--write" in sys.argv:
        FIGURES.write_text(json.dumps({"rustc": rustc, "instructions": counts}, indent=2) + "\n")
    committed = json.loads(FIGURES.read_text())
    failed = False
    for operation, now in counts.items():
        before = committed["instructions"][operation]
        change = now / before - 1
        failed |= abs(change) > ALLOWED
        print(f"{operation:6} {now:7} instructions, {before:7} committed: {change:+.1%}{'  FAILED' if abs(change) > ALLOWED else ''}")
    if failed:
        sys.exit(
            f"a count differs by more than {ALLOWED:.0%} (figures of rustc {committed['rustc']}, this is {rustc}):"
            " repair the cause, or write new figures with --write and give the reason in the commit"
        )


main()
