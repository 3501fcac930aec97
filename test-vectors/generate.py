#!/usr/bin/env python3
"""Writes the project's own files of test vectors: every *.json here but schema.json and those that begin with "rfc".
Also writes INDEX.md and the examples in KINDS.md.

    python3 generate.py            writes the files beside this script
    python3 generate.py --check    writes nothing; exits with 1 if a file is not what would be written

Keys are derived from fixed labels and signatures are deterministic, so a second run gives the same bytes.
Needs the `cryptography` package (see README.md). The tables of cases are in the package `generator`.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True  # a run leaves no __pycache__ behind

from generator import (  # noqa: E402
    ath,
    authorization_response,
    basic,
    challenge,
    discovery,
    dpop_jkt,
    htu,
    index,
    kinds,
    pkce,
    proof_accept,
    proof_claims,
    proof_context,
    proof_framing,
    proof_header,
    proof_jwk,
    proof_signature,
    replay,
    thumbprint,
    token_response,
)
from generator.table import render  # noqa: E402

MODULES = (
    ath,
    authorization_response,
    basic,
    challenge,
    discovery,
    dpop_jkt,
    htu,
    pkce,
    proof_accept,
    proof_claims,
    proof_context,
    proof_framing,
    proof_header,
    proof_jwk,
    proof_signature,
    replay,
    thumbprint,
    token_response,
)
DIRECTORY = pathlib.Path(__file__).resolve().parent


def contents():
    """Returns the text of each file that is generated, by its name."""
    tables = {path.name: json.loads(path.read_text("ascii")) for path in DIRECTORY.glob("rfc*.json")}
    built = {module.FILE: module.build() for module in MODULES}
    tables |= built
    texts = {name: render(content) for name, content in built.items()}
    texts[index.FILE] = index.render(tables)
    texts[kinds.FILE] = kinds.render((DIRECTORY / kinds.FILE).read_text("utf-8"), tables)
    return texts


def differences():
    """Returns the path and the new text of each file that is missing or differs from what is generated."""
    for name, text in contents().items():
        path = DIRECTORY / name
        if not path.exists() or path.read_bytes() != text.encode():
            yield path, text


def unknown_files():
    """Returns files that are neither generated nor from an RFC, such as the old file of a renamed table."""
    generated = {module.FILE for module in MODULES} | {"schema.json"}
    paths = sorted(DIRECTORY.glob("*.json"))
    return [path for path in paths if not path.name.startswith("rfc") and path.name not in generated]


def main(arguments):
    if arguments == ["--check"]:
        problems = [f"{path.name} differs" for path, _ in differences()]
        problems += [f"{path.name} is not generated" for path in unknown_files()]
        print("\n".join(problems), end="\n" if problems else "")
        return 1 if problems else 0
    if arguments:
        sys.exit(__doc__)
    for path, text in differences():
        path.write_bytes(text.encode())
        print(path.name, "written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
