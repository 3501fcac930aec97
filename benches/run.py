#!/usr/bin/env python3
"""Runs the benchmarks several times each, prints the median of every figure with its target, and writes results.json.

    benches/run.py            # all: about six minutes when built; then benches/tables.py writes the tables
    benches/run.py proof      # the benchmarks of one name; writes no file

Each run is a process of its own: the position of the stack makes Ed25519 a tenth faster or slower, in every library. Exit
status 1 means that a target was missed.
"""

import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from machine import machine

HERE = pathlib.Path(__file__).resolve().parent
RUNS = 9
BENCHES = [
    ("proof", []), ("proof", ["--no-default-features"]), ("authenticate", []), ("axum", []), ("threads", []), ("session", []),
    ("replay", []), ("linear", []),
]
ONCE = {"replay", "threads", "linear"}  # These take the median of many rounds themselves, or count.


def build(name, features):
    options = [*features, "--features", "testing", "--no-run", "--message-format=json"]
    command = ["cargo", "bench", "--quiet", "--bench", name, *options]
    lines = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = [json.loads(line) for line in lines if line.startswith("{")]
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == name)


def measure(name, features):
    program, lines = build(name, features), {}
    for _ in range(1 if name in ONCE else RUNS):
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run([program, "--bench"], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "BENCH_JSON": file.name})
            for line in pathlib.Path(file.name).read_text().splitlines():
                row = json.loads(line)
                lines.setdefault((row["what"], row["target"]), []).append(row["measured"])
    for (what, target), measured in lines.items():
        median = statistics.median(measured)
        yield {
            "what": what, "features": " ".join(features) or "default", "median": round(median, 3), "lowest": round(min(measured), 3),
            "highest": round(max(measured), 3), "target": target, "reached": is_reached(median, target),
        }


def is_reached(median, target):
    """Returns nothing for a figure without a target, which others are compared with."""
    if target is None:
        return None
    relation, limit = target.split()
    return median <= float(limit) if relation == "<=" else median >= float(limit)


def main():
    wanted, rows = sys.argv[1:], []
    for name, features in BENCHES:
        if wanted and name not in wanted:
            continue
        print(f"{name}, features: {' '.join(features) or 'default'}")
        for row in measure(name, features):
            mark = "   MISSED" if row["reached"] is False else ""
            print(f"  {row['what']:<79} {row['median']:9.3f}  {row['target'] or '':<8}{mark}", flush=True)
            rows.append(row)
    if not wanted:
        rustc = subprocess.run(["rustc", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[1]
        results = {"date": datetime.date.today().isoformat(), "machine": machine(), "rustc": rustc, "runs": RUNS, "rows": rows}
        (HERE / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return any(row["reached"] is False for row in rows)


sys.exit(main())
