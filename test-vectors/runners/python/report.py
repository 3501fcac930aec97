"""Compares outcomes with those of expected.json."""

import importlib.metadata
import json
import pathlib
import sys

EXPECTED = pathlib.Path(__file__).with_name("expected.json")


class CannotRepresent(Exception):
    """The function under test has no way to take the inputs of a case, or is not asked."""


def report(packages, outcomes):
    """`outcomes` gives names of cases, what was expected and what came out, or `None` if a case cannot be represented."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    disagrees, count = {}, {"agrees": 0, "disagrees": 0, "cannot represent": 0}
    for name, expected, got in outcomes:
        agrees = got is not None and (expected == got or expected == "policy")
        outcome = "cannot represent" if got is None else "agrees" if agrees else "disagrees"
        count[outcome] += 1
        if outcome == "disagrees":
            disagrees[name] = got
        if "--all" in sys.argv:
            print(f"{outcome}: {name}" + (f": {got}, not {expected}" if outcome == "disagrees" else ""))
    seen = {"versions": versions, "cannot represent": count["cannot represent"], "disagrees": disagrees}
    if "--write" in sys.argv:
        EXPECTED.write_text(json.dumps(seen, indent=1) + "\n")
    known = json.loads(EXPECTED.read_text())
    changed = [
        name
        for name in {**known["disagrees"], **disagrees}
        if known["disagrees"].get(name) != disagrees.get(name)
    ]
    for name in changed:
        outcomes = [source["disagrees"].get(name, "agrees") for source in (seen, known)]
        print(f"CHANGED {name}: {outcomes[0]}, and expected.json has {outcomes[1]}")
    if known["cannot represent"] != seen["cannot represent"]:
        changed.append("cannot represent")
    print(f"{json.dumps(versions)}: {json.dumps(count)}")
    print(f"{count['agrees'] + count['disagrees'] - len(changed)} passed, {len(changed)} failed")
    return 1 if changed or not count["agrees"] else 0
