"""The protocol of the programs of this matrix: one JSON object a line on standard input, and one for each on standard
output. ../README.md describes them."""

import importlib.metadata
import json
import os
import sys

# Issuer, audience and keys of the access tokens.
TOKENS = json.loads(os.environ.get("MATRIX_TOKENS", "{}"))
# The nonce of verifiers that are told which one they have given.
NONCE = "eyJ7S_zG.eyJH0-Z.HX4w-7v"


def serve(package, hello, respond):
    """Prints what a package can do, and then the answer of `respond` to each line."""

    def answer(line):
        print(json.dumps(line), flush=True)

    answer({"name": package, "registry": "PyPI", "version": importlib.metadata.version(package), **hello})
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "nonce":
            answer({"nonce": NONCE})
            continue
        try:
            answer(respond(request))
        except Exception as error:  # a refusal of any kind
            message = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            outcome = {"outcome": "refused", "message": message} if request["op"] == "verify" else {"error": message}
            answer(outcome)


def without_query(url):
    return url.split("?")[0]
