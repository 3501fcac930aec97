"""Verification of DPoP proofs (RFC 9449 section 4.3): the kinds `proof` and `replay`."""

import hashlib
import re
from decimal import Decimal

from .encoding import Rejected, base64url, base64url_decode, json_object
from .keys import PRIVATE_MEMBERS, Key, thumbprint_of
from .uris import normalize_uri

# The checks that can be left out, so that a proof with no other defect is accepted.
SKIPPABLE = set(
    "base64 unique escape typ alg key-alg crit private key signature "
    "jti htm htu iat exp nbf nonce ath jkt".split()
)
MAC_OR_NONE = re.compile("(?i)none|HS[0-9]+")


def is_number(value):
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def has_text(members, name):
    """Whether the member is a string that is not empty."""
    return isinstance(members.get(name), str) and members[name] != ""


def verify_proof(values, context, skip=(), pick=None):
    """Makes every check of section 4.3 except those in `skip`; returns the thumbprint and the jti.

    `pick`: see `json_object`.
    """

    def need(condition, check):
        if not condition and check not in skip:
            raise Rejected(check)

    if len(values) != 1:
        raise Rejected("fields")
    segments = (values[0].strip() if "base64" in skip else values[0]).split(".", 3)
    if len(segments) != 3 or not all(segments):
        raise Rejected("segments")
    header, claims, signature = (base64url_decode(segment, "base64" in skip) for segment in segments)
    header, claims = json_object(header, pick), json_object(claims, pick)

    need(header.get("typ") == "dpop+jwt", "typ")
    alg = header.get("alg")
    allowed = context.get("algs", ["ES256", "EdDSA", "Ed25519"])
    need(isinstance(alg, str) and not MAC_OR_NONE.fullmatch(alg) and alg in allowed, "alg")
    need("crit" not in header, "crit")
    jwk = header.get("jwk")
    need(not isinstance(jwk, dict) or not any(name in jwk for name in PRIVATE_MEMBERS), "private")
    key = Key(jwk, "key" in skip)
    need("alg" in skip or key.allows(alg) and (jwk.get("alg") is None or key.allows(jwk["alg"])), "key-alg")
    if "signature" not in skip:
        signing_input = ".".join(segments[:2]).encode("latin-1")
        key.verify(alg if isinstance(alg, str) else key.alg, signing_input, signature)

    need(has_text(claims, "jti"), "jti")
    need(has_text(claims, "htm") and claims["htm"] == context["method"], "htm")
    try:
        need(
            has_text(claims, "htu") and normalize_uri(claims["htu"]) == normalize_uri(context["url"]), "htu"
        )
    except Rejected:
        need(False, "htu")
    now = context["now"]
    iat = claims.get("iat")
    need(type(iat) is int and now - context["max_age_s"] <= iat <= now + context["future_skew_s"], "iat")
    need("exp" not in claims or is_number(claims["exp"]) and claims["exp"] > now, "exp")
    need("nbf" not in claims or is_number(claims["nbf"]) and claims["nbf"] <= now, "nbf")
    if "nonces" in context:
        need(has_text(claims, "nonce") and claims["nonce"] in context["nonces"], "nonce")
    if "access_token" in context:
        ath = base64url(hashlib.sha256(context["access_token"].encode("ascii")).digest())
        need(claims.get("ath") == ath, "ath")
    if "jkt" in context:
        need(thumbprint_of(jwk) == context["jkt"], "jkt")
    return thumbprint_of(jwk), claims.get("jti")


def outcome(values, context, skip=()):
    """Returns "accept" with the thumbprint and the jti, or "reject" with the check that failed."""
    picks = ("first", "last") if {"unique", "escape"} & set(skip) else (None,)
    for pick in picks:
        try:
            result = "accept", verify_proof(values, context, skip, pick)
        except Rejected as rejected:
            result = "reject", rejected.args[0]
        if result[0] == "accept":
            break
    return result


def proof(case):
    """Demands that a rejected proof fails the named check and passes once that one check is left out."""
    values = case["proof_headers"] if "proof_headers" in case else [case["proof"]]
    got, detail = outcome(values, case["context"])
    if case["expect"] == "policy":
        return
    assert got == case["expect"], (got, detail)
    if got == "accept":
        assert case.get("jkt", detail[0]) == detail[0], detail
    elif "reason" in case:
        assert detail == case["reason"], detail
        if detail in SKIPPABLE and case.get("sole", True):
            again = outcome(values, case["context"], {detail})
            assert again[0] == "accept", ("there is a second defect", again)


def replay(case):
    seen = set()
    for number, (value, expect) in enumerate(case["steps"]):
        got, detail = outcome([value], case["context"])
        if got == "accept":
            got = "replay" if detail in seen else "accept"
            seen.add(detail)
        assert got == expect, (number, got, detail)
