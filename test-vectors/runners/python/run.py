"""Runs the test vectors with PyPI requests_oauth2client, and with jwskate, which it is built on.

    run.py [--all] [--write]        ../README.md says what the outcomes mean

Kinds that the libraries have no function for are left out.
"""

import base64
import contextlib
import datetime
import hashlib
import json
import pathlib
import sys
import urllib.parse
from unittest import mock

import jwskate
import requests
from requests_oauth2client import ClientSecretBasic
from requests_oauth2client.dpop import validate_dpop_proof

from report import CannotRepresent, report

VECTORS = pathlib.Path(__file__).resolve().parents[2]
# Checks that a verifier leaves to the JOSE library under it.
OF_THE_LIBRARY = {"crit", "exp", "nbf", "key"}


def member(segment, name):
    """Returns a member of a segment, or nothing if the segment is not a JSON object, which the verifier says itself."""
    with contextlib.suppress(Exception):
        return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))).get(name)


def verify(proof, context):
    """Verifies one proof and returns the thumbprint of its key."""
    header, claims = (proof.split(".") + ["", ""])[:2]
    alg, nonce, iat = member(header, "alg"), member(claims, "nonce"), member(claims, "iat")
    # Its user names the algorithm and the nonce. It has one limit for both sides of iat, which is not inclusive.
    if alg not in context.get("algs", ["ES256", "EdDSA", "Ed25519"]):
        raise ValueError("an algorithm that is not accepted")
    nonces = context.get("nonces", [None])
    if not nonces:
        raise CannotRepresent
    now, limit = context["now"], context["max_age_s"] + 1
    if isinstance(iat, (int, float)) and context["future_skew_s"] < iat - now < limit:
        raise CannotRepresent
    clock = mock.Mock(now=lambda tz: datetime.datetime.fromtimestamp(now, tz))
    with mock.patch("requests_oauth2client.dpop.datetime", clock):
        validated = validate_dpop_proof(
            proof,
            htm=context["method"],
            htu=context["url"].split("?")[0].split("#")[0],
            ath=ath(context["access_token"]) if "access_token" in context else None,
            nonce=nonce if nonce in nonces else nonces[0],
            leeway=limit,
            algs=[alg],
        )
    jkt = jwskate.Jwk(validated.headers["jwk"]).thumbprint()
    if context.get("jkt", jkt) != jkt:
        raise ValueError("the token is bound to another key")
    return jkt


def ath(access_token):
    return base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()).decode().rstrip("=")


def verdict(function, *arguments):
    """Returns `accept`, or `reject` if an exception is raised."""
    try:
        function(*arguments)
    except CannotRepresent:
        raise
    except Exception:
        return "reject"
    return "accept"


def proof(case):
    if case.get("reason") in OF_THE_LIBRARY or "proof_headers" in case:
        raise CannotRepresent
    return case["expect"], verdict(verify, case["proof"], case["context"])


def thumbprint(case):
    return case["jkt"], jwskate.Jwk(case["jwk"]).thumbprint()


def jws(case):
    def check():
        compact = jwskate.JwsCompact(case["jws"])
        assert compact.verify_signature(jwskate.Jwk(case["jwk"]), alg=compact.alg)

    return case["expect"], verdict(check)


def basic(case):
    request = requests.Request("POST", "https://server.example.com/token")
    sent = ClientSecretBasic(case["client_id"], case["client_secret"])(request.prepare()).headers[
        "Authorization"
    ]

    def credentials(field):
        return [
            urllib.parse.unquote_plus(part) for part in base64.b64decode(field[6:]).decode().split(":", 1)
        ]

    return "\n".join(credentials(case["header"])), "\n".join(credentials(sent))


KINDS = {kind.__name__: kind for kind in (proof, thumbprint, jws, basic)}


def outcomes():
    """Yields the name of each case, what was expected and what came out, or `None` twice."""
    for path in sorted(VECTORS.glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        if path.name == "schema.json" or content["kind"] not in KINDS:
            continue
        assert content["version"].startswith("1.0."), f"{path.name}: version {content['version']}, not 1.0"
        for case in content["cases"]:
            try:
                yield f"{path.name} {case['id']}", *KINDS[content["kind"]](case)
            except CannotRepresent:
                yield f"{path.name} {case['id']}", None, None


sys.exit(report(["requests_oauth2client", "jwskate"], outcomes()))
