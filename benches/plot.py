#!/usr/bin/env python3
"""Draws plot.svg from peers/results.json: the time to make and to verify a proof, for each library.

    python3 -m venv benches/.venv && benches/.venv/bin/pip install -r benches/requirements.txt
    benches/.venv/bin/python benches/plot.py
"""

import json
import pathlib

import matplotlib

matplotlib.use("svg")
# The same data give the same file, byte for byte.
matplotlib.rcParams.update({"svg.hashsalt": "possession", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9})
import matplotlib.pyplot as plt  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
OWN, OTHERS = "#c0392b", "#7f8c8d"
PANELS = [("proof", "one DPoP proof, ES256"), ("check", "one verification of a proof, ES256")]


def main():
    results = json.loads((HERE / "peers/results.json").read_text())
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    for axis, (operation, title) in zip(axes, PANELS):
        rows = [row for row in results["rows"] if row["operation"] in (operation, f"{operation}-64")]
        rows.sort(key=lambda row: -row["microseconds"])
        names = [f"{row['peer']}{', 64 at once' if row['operation'].endswith('-64') else ''}" for row in rows]
        times = [row["microseconds"] for row in rows]
        colours = [OWN if name.startswith("possession") else OTHERS for name in names]
        bars = axis.barh(names, times, color=colours, height=0.7)
        axis.bar_label(bars, labels=[f"{time:.0f}" for time in times], padding=3)
        axis.set_title(title)
        axis.set_xlabel("microseconds (less is better)")
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{results['machine']}, {results['date']}, {results['versions']['rustc'].split(' (')[0]}", fontsize=8)
    figure.savefig(HERE / "plot.svg", metadata={"Date": None})


main()
