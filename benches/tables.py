#!/usr/bin/env python3
"""Writes the tables of figures in README.md and benches/README.md from results.json and peers/results.json.

    benches/tables.py          # after benches/run.py and benches/peers/run.py
    benches/tables.py --check  # exit status 1 if a table is not the one of the files
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: written by benches/tables.py -->", "<!-- end of figures -->"
# The lines of the table in README.md; the other table has all of them.
MAIN = [
    "ES256: proof / bare ring signature",
    "ES256: verification / bare ring verification",
    "authenticate, JWT seen before / bare ring verification",
    "authenticate, new ES256 JWT / bare ring verification",
    "authenticate, introspection cached / bare ring verification",
    "axum: requests/s of a protected route / unprotected plus one verification",
    "DPoP call through a session / plain call by ureq",
    "DPoP call through a session / plain call by ureq without the look-up",
    "name look-ups per DPoP call on a kept connection",
    "ES256: authenticated requests with one JWT, two threads / one",
    "ES256: calls through one session, two threads / one",
]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")


def measured(row):
    """A figure that misses its target has a digit more, because it may be close."""
    return f"{row['median']:.3f}, missed" if row["reached"] is False else number(row["median"])


def target(row):
    return (row["target"] or "").replace("<=", "≤").replace(">=", "≥")


def lines(results, all_of_them):
    for row in results["rows"]:
        features = "" if row["features"] == "default" else ", without `ring`"
        if all_of_them or row["what"] in MAIN and not features:
            yield f"| {row['what']}{features} | {measured(row)} | {target(row)} |"


def peer_lines(peers):
    """The fastest peer for each operation."""
    rows = [row for row in peers["rows"] if not row["peer"].startswith("possession ")]
    for operation in dict.fromkeys(row["operation"].removesuffix("-64") for row in peers["rows"]):
        best = min((row for row in rows if row["operation"].removesuffix("-64") == operation), key=lambda row: row["microseconds"])
        at_once = ", 64 at once on several processors" if best["operation"].endswith("-64") else ""
        yield f"| `{operation}`, the fastest peer ({best['peer']}{at_once}) / possession | {number(best['times_possession'])} | > 1 |"


def table(results, peers, all_of_them):
    versions = f"{results['machine']} with rustc {results['rustc']}, {results['date']}"
    head = [f"Medians, measured side by side on {versions}:", "", "| | measured | target |", "|---|---|---|"]
    return "\n".join([BEGIN, *head, *lines(results, all_of_them), *peer_lines(peers), END])


def main():
    results = json.loads((HERE / "results.json").read_text())
    peers = json.loads((HERE / "peers/results.json").read_text())
    differs = False
    for path, all_of_them in [(HERE.parent / "README.md", False), (HERE / "README.md", True)]:
        before = path.read_text()
        start, end = before.index(BEGIN), before.index(END) + len(END)
        after = before[:start] + table(results, peers, all_of_them) + before[end:]
        differs |= before != after
        if "--check" not in sys.argv:
            path.write_text(after)
    return 1 if differs and "--check" in sys.argv else 0


sys.exit(main())
