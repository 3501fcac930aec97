#!/usr/bin/env python3
"""Measures possession and its peers side by side (see README.md). It needs cargo, Node 20 with npm, and Python 3.10."""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from machine import machine  # noqa: E402

NODE, PYTHON, RUST = HERE / "node", HERE / "python", HERE / "rust"
MILLISECONDS = 400


def node(peer):
    return ["node", NODE / "peer.mjs", peer]


def python(peer):
    return [PYTHON / ".venv/bin/python", PYTHON / "peer.py", peer]


def rust(package):
    return [RUST / "target/release" / f"peer-{package}", package]


POSSESSION = rust("possession")
# README.md says what is left out, and why.
PEERS = [
    (rust("possession"), ["proof", "check", "check-with-token", "check-with-new-token"]),
    (rust("huskarl"), ["proof", "check", "check-with-token", "check-with-new-token"]),
    (rust("dpop-verifier"), ["check"]),
    (rust("jsonwebtoken-aws-lc-rs"), ["proof", "check"]),
    (rust("jsonwebtoken-rust-crypto"), ["proof", "check"]),
    (node("jose"), ["proof", "proof-64", "check", "check-64"]),
    (node("dpop"), ["proof", "proof-64"]),
    (
        node("oauth4webapi"),
        ["proof", "proof-64", "check-with-token", "check-with-token-64", "check-with-new-token", "check-with-new-token-64"],
    ),
    (python("PyJWT"), ["proof", "check"]),
    (python("joserfc"), ["proof", "check"]),
    (python("Authlib"), ["proof", "check"]),
    (python("requests_oauth2client"), ["proof", "check"]),
]
# Invalid proofs that a peer accepts, with the reason.
ACCEPTED_INVALID = {
    ("oauth4webapi", "nonce"): "it does not check the nonce",
    ("requests_oauth2client", "alg"): "it does not check the alg of the header",
}


def output(command, text=None):
    command = [str(part) for part in command]
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, cwd=HERE)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}")
    return done.stdout.strip()


def install():
    def run(*command, cwd):
        subprocess.run([str(part) for part in command], check=True, cwd=cwd, stdout=sys.stderr)

    def older(stamp, source):
        return not stamp.exists() or stamp.stat().st_mtime < source.stat().st_mtime

    if older(NODE / "node_modules/.package-lock.json", NODE / "package-lock.json"):
        run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=NODE)
    stamp = PYTHON / ".venv/installed"
    if older(stamp, PYTHON / "requirements.txt"):
        run(sys.executable, "-m", "venv", ".venv", cwd=PYTHON)
        pip = [".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, "-r", "requirements.txt", cwd=PYTHON)
        stamp.touch()
    for command, _ in PEERS:
        if RUST in pathlib.Path(command[0]).parents:
            # Separately, so that no peer is built with the features of another.
            run("cargo", "build", "--quiet", "--release", "--package", f"peer-{command[1]}", cwd=RUST)


def self_test():
    """Checks that possession's Verifier accepts the proofs of every peer, and that every peer refuses invalid proofs."""
    failed = passed = 0

    def check(ok, what):
        nonlocal failed, passed
        failed, passed = failed + (not ok), passed + ok
        if not ok:
            print("FAILED", what)

    for command, operations in PEERS:
        peer = command[-1]
        if "proof" in operations:
            outcome = output([*POSSESSION, "judge", 0], output([*command, "print", 0]) + "\n")
            check(outcome == "accepted", f"{peer} makes a proof: {outcome}")
            print(f"{peer} proof: {outcome}")
        for operation, verify in [("check", "verify"), ("check-with-token", "verify-with-token")]:
            if operation not in operations:
                continue
            cases = output([*POSSESSION, verify.replace("verify", "cases"), 0])
            names = [json.loads(case)["name"] for case in cases.splitlines()]
            outcomes = output([*command, verify, 0], cases + "\n").splitlines()
            for name, outcome in zip(names, outcomes, strict=True):
                reason = ACCEPTED_INVALID.get((peer, name))
                expected = "accepted" if name == "good" or reason else "refused"
                what = "a valid proof" if name == "good" else f"a proof with a wrong {name}"
                check(outcome == expected, f"{peer} {operation} of {what}: {outcome}")
                if reason:
                    print(f"{peer} {operation} of {what}: {outcome}, because {reason}")
            print(f"{peer} {operation}: {outcomes.count('accepted')} accepted, {outcomes.count('refused')} refused")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def base(operation):
    return operation.removesuffix("-64")


def measure(rounds, only):
    selected = [
        (command, operation)
        for command, operations in PEERS
        for operation in operations
        if not only or only.lower() in f"{command[-1]} {operation}".lower()
    ]
    compared = {base(operation) for _, operation in selected}
    # possession is always measured, because the others are compared with it.
    runs = [(POSSESSION, operation) for operation in PEERS[0][1] if operation in compared]
    runs += [run for run in selected if run[0] != POSSESSION]
    figures = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        # Every other round is in reverse, so that no peer always runs after the same one.
        for command, operation in runs if number % 2 == 0 else reversed(runs):
            line = json.loads(output([*command, operation, MILLISECONDS]))
            figures.setdefault((line["peer"], line["operation"]), []).append(line["microseconds"])
    medians = {row: statistics.median(each) for row, each in figures.items()}
    own = {operation: time for (peer, operation), time in medians.items() if peer.startswith("possession ")}
    rows = [
        {
            "peer": peer,
            "operation": operation,
            "microseconds": round(time, 2),
            "per_second": round(1e6 / time),
            "times_possession": round(time / own[base(operation)], 3),
        }
        for (peer, operation), time in medians.items()
    ]
    return sorted(rows, key=lambda row: (list(own).index(base(row["operation"])), row["microseconds"]))


def show(rows):
    table = [("peer", "operation", "µs", "per second", "times possession")]
    last = None
    for row in rows:
        if last not in (None, base(row["operation"])):
            table.append(("",) * 5)
        last = base(row["operation"])
        numbers = f"{row['microseconds']:.1f}", f"{row['per_second']:,}", f"{row['times_possession']:.2f}"
        table.append((row["peer"], row["operation"], *numbers))
    first, second, *rest = [max(map(len, column)) for column in zip(*table)]
    for peer, operation, *numbers in table:
        cells = "  ".join(number.rjust(width) for number, width in zip(numbers, rest))
        print(f"{peer.ljust(first)}  {operation.ljust(second)}  {cells}".rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each row is measured; the result is the median (default: 5)")
    parser.add_argument("--only", metavar="PATTERN", help="only rows with this text in peer or operation; writes no file")
    parser.add_argument("--self-test", action="store_true", help="measure nothing; check that every peer makes and verifies proofs")
    arguments = parser.parse_args()
    install()
    if arguments.self_test:
        return self_test()
    rows = measure(arguments.rounds, arguments.only)
    show(rows)
    if not arguments.only:
        python_version = output([PYTHON / ".venv/bin/python", "--version"])
        results = {
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": {"rustc": output(["rustc", "--version"]), "node": output(["node", "--version"]), "python": python_version},
            "rounds": arguments.rounds,
            "rows": rows,
        }
        (HERE / "results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    faster = [row for row in rows if row["times_possession"] < 1]
    for row in faster:
        print(f"faster than possession: {row['peer']} in {row['operation']}, {row['times_possession']} times", file=sys.stderr)
    return 1 if faster else 0


if __name__ == "__main__":
    sys.exit(main())
