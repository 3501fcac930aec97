#!/usr/bin/env python3
"""Draws plot.svg from peers/results.json: the time to make and to verify a proof, for each library. Draws requests.svg from
results.json: the cost of whole requests, as ratios beside their targets.

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
PANELS = [
    ("proof", "one DPoP proof, ES256"),
    ("check", "one verification of a proof, ES256"),
    ("check-with-token", "one request: proof and JWT"),
]


RATIOS = [
    ("authenticate, JWT seen before / bare ring verification", "a request with a JWT seen before / bare ring verification"),
    ("authenticate, introspection cached / bare ring verification", "… introspected before / bare ring verification"),
    ("authenticate, new ES256 JWT / bare ring verification", "… with a new ES256 JWT / bare ring verification"),
    ("DPoP call through a session / plain call by ureq", "a call through a session / plain call by ureq"),
    (
        "DPoP call through a session / plain call by ureq without the look-up",
        "a call through a session / plain call without the look-up",
    ),
    (
        "axum: requests/s of a protected route / unprotected plus one verification",
        "requests/s of a protected axum route / unprotected plus one verification",
    ),
    ("ES256: authenticated requests with one JWT, two threads / one", "authenticated requests, two threads / one"),
    ("ES256: calls through one session, two threads / one", "calls through one session, two threads / one"),
]


def draw_peers():
    results = json.loads((HERE / "peers/results.json").read_text())
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
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


def draw_requests():
    results = json.loads((HERE / "results.json").read_text())
    by_name = {row["what"]: row for row in results["rows"] if row["features"] == "default"}
    rows = [(label, by_name[what]) for what, label in reversed(RATIOS)]
    figure, axis = plt.subplots(figsize=(9.5, 3.2), layout="constrained")
    bars = axis.barh([label for label, _ in rows], [row["median"] for _, row in rows], color=OWN, height=0.6)
    axis.bar_label(bars, labels=[f"{row['median']:.2f}" for _, row in rows], padding=3)
    # A mark for each target, with an arrow to the better side.
    for place, (_, row) in enumerate(rows):
        relation, limit = row["target"].split()
        axis.plot([float(limit)] * 2, [place - 0.42, place + 0.42], color="#2c3e50", linewidth=2)
        axis.annotate("◂" if relation == "<=" else "▸", (float(limit), place + 0.3), ha="right" if relation == "<=" else "left", fontsize=7)
    axis.set_xlabel("ratio; the marks are the targets, and the arrows show which side is better")
    axis.margins(x=0.08)
    axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{results['machine']}, {results['date']}, rustc {results['rustc']}", fontsize=8)
    figure.savefig(HERE / "requests.svg", metadata={"Date": None})


draw_peers()
draw_requests()
