"""Sequences of proofs that one replay store sees."""

from .encoding import base64url, compact_json, digest
from .keys import (
    ED25519_KEY,
    ED25519_KEY_NEW_NAME,
    OTHER_ED25519_KEY,
    OTHER_P256_KEY,
    P256_KEY,
    P256_ORDER,
    join_signature,
    split_signature,
)
from .proofs import (
    ATH,
    FUTURE_SKEW,
    HTM,
    IAT,
    MAX_AGE,
    NOW,
    RESOURCE_REQUEST,
    TOKEN_REQUEST,
    TOKEN_URL,
    TYP,
    claims,
    header,
    jwk,
    last,
    make_proof,
)
from .table import table

FILE = "replay.json"

# The contexts of a token request that needs a nonce, and of a resource request with a bound access token.
NONCE_REQUEST = dict(TOKEN_REQUEST, nonces=["n1", "n2"])
BOUND_REQUEST = dict(RESOURCE_REQUEST, jkt=P256_KEY.thumbprint())


def proof(jti="one", **row):
    return make_proof(jti, **row)


PROOF = proof()


def case(cases, id, about, steps, context=TOKEN_REQUEST, basis="RFC 9449 §11.1"):
    """Adds a case; a step is a proof and what becomes of it."""
    cases.append(
        {
            "id": id,
            "context": dict(context),
            "steps": [list(step) for step in steps],
            "about": about,
            "basis": basis,
        }
    )


def negate_s(signature):
    r, s = split_signature(signature)
    return join_signature(r, P256_ORDER - s)


def with_nonce(nonce):
    return proof(context=NONCE_REQUEST, claims=last(f'"nonce":"{nonce}"'))


def resource_proof(**row):
    return proof(context=RESOURCE_REQUEST, **row)


def same_proof(cases):

    case(
        cases,
        "V-35-same-proof",
        "the same proof three times",
        [(PROOF, "accept"), (PROOF, "replay"), (PROOF, "replay")],
    )
    case(
        cases,
        "V-35-same-proof-ed25519",
        "the same Ed25519 proof twice",
        [(proof(key=ED25519_KEY), "accept"), (proof(key=ED25519_KEY), "replay")],
    )
    case(
        cases,
        "V-35-other-jti",
        "two proofs that differ in jti",
        [(PROOF, "accept"), (proof("two"), "accept"), (proof("two"), "replay")],
    )


def same_jti_and_key(cases):
    for slug, about, row in (
        (
            "htu-default-port",
            "htu has the default port 443",
            claims(TOKEN_URL, "https://server.example.com:443/token"),
        ),
        (
            "htu-upper-case",
            "the host of htu is in upper case",
            claims(TOKEN_URL, "https://SERVER.example.com/token"),
        ),
        (
            "htu-dot-segments",
            "htu has dot segments",
            claims(TOKEN_URL, "https://server.example.com/a/../token"),
        ),
        (
            "htu-escape",
            "htu has a percent-encoded unreserved character",
            claims(TOKEN_URL, "https://server.example.com/t%6Fken"),
        ),
        ("htu-query", "htu has a query", claims(TOKEN_URL, TOKEN_URL + "?a=b")),
        ("htu-fragment", "htu has a fragment", claims(TOKEN_URL, TOKEN_URL + "#a")),
        ("high-s", "the signature has n - s instead of s", {"change_signature": negate_s}),
        ("signed-again", "a second signature over the same bytes", {"sign": P256_KEY.sign_with_fixed_k}),
        ("other-iat", "iat is one second earlier", claims(IAT, f'"iat":{NOW - 1}')),
        ("newest-iat", "iat is the latest valid time", claims(IAT, f'"iat":{NOW + FUTURE_SKEW}')),
        ("other-claim", "there is an additional claim", claims(*last('"a":1'))),
        ("other-header", "there is an additional header member", header(*last('"kid":"1"'))),
        (
            "jwk-reordered",
            "the members of the jwk are in another order",
            {"jwk_text": compact_json(dict(reversed(P256_KEY.jwk.items())))},
        ),
        ("jwk-extra-member", "the jwk has an additional member", jwk(*last('"kid":"1"'))),
        ("jti-escaped", "the jti is written with an escape", claims('"@jti"', r'"\u006fne"')),
        ("white-space", "the claims have white space", claims(",", " , ")),
    ):
        case(
            cases,
            f"V-37-{slug}",
            f"the same jti and key again: {about}",
            [(PROOF, "accept"), (proof(**row), "replay"), (PROOF, "replay")],
        )

    case(
        cases,
        "V-37-other-nonce",
        "the same jti and key again: the nonce is another accepted one",
        [(with_nonce("n1"), "accept"), (with_nonce("n2"), "replay")],
        NONCE_REQUEST,
    )
    case(
        cases,
        "V-37-ed25519-other-name",
        "the same jti and key again: alg is Ed25519 instead of EdDSA",
        [(proof(key=ED25519_KEY), "accept"), (proof(key=ED25519_KEY_NEW_NAME), "replay")],
    )


def other_jti_or_key(cases):
    other = proof(key=OTHER_P256_KEY)
    case(
        cases,
        "V-38-other-key",
        "another key with the same jti",
        [(PROOF, "accept"), (other, "accept"), (PROOF, "replay"), (other, "replay")],
    )
    case(
        cases,
        "V-38-other-key-first",
        "another key uses the jti first",
        [(other, "accept"), (PROOF, "accept")],
    )
    case(
        cases,
        "V-38-other-kind",
        "keys of another type with the same jti",
        [(PROOF, "accept"), (proof(key=ED25519_KEY), "accept"), (proof(key=OTHER_ED25519_KEY), "accept")],
    )
    thumb = P256_KEY.thumbprint()
    different_jti = [
        ("case", "Ab", "aB"),
        ("trailing-space", "a", "a "),
        ("normal-form", "\u00e9", "e\u0301"),
        ("prefix", "ab", "abc"),
        ("thumbprint", thumb, thumb + "|one"),
    ]
    for slug, a, b in different_jti:
        case(
            cases,
            f"V-38-jti-{slug}",
            "two jti that are similar but different strings",
            [(proof(a), "accept"), (proof(b), "accept"), (proof(a), "replay"), (proof(b), "replay")],
        )


def rejected_proofs(cases):
    unused = "a rejected proof does not use up its jti"

    for slug, about, bad, context, good in (
        (
            "bad-signature",
            "a wrong signature",
            proof(change_signature=lambda s: s[:-1] + bytes([s[-1] ^ 1])),
            TOKEN_REQUEST,
            PROOF,
        ),
        (
            "forged",
            "the signature is by another key than the one in jwk",
            proof(sign=OTHER_P256_KEY.sign),
            TOKEN_REQUEST,
            PROOF,
        ),
        ("wrong-typ", "a wrong typ", proof(header=(TYP, '"typ":"JWT"')), TOKEN_REQUEST, PROOF),
        ("wrong-htm", "a wrong htm", proof(claims=(HTM, '"htm":"GET"')), TOKEN_REQUEST, PROOF),
        (
            "wrong-htu",
            "a wrong htu",
            proof(claims=(TOKEN_URL, "https://evil.example/")),
            TOKEN_REQUEST,
            PROOF,
        ),
        (
            "too-old",
            "iat is before the valid range",
            proof(claims=(IAT, f'"iat":{NOW - MAX_AGE - 1}')),
            TOKEN_REQUEST,
            PROOF,
        ),
        (
            "too-new",
            "iat is after the valid range",
            proof(claims=(IAT, f'"iat":{NOW + FUTURE_SKEW + 1}')),
            TOKEN_REQUEST,
            PROOF,
        ),
        ("expired", "exp is in the past", proof(claims=last(f'"exp":{NOW - 3600}')), TOKEN_REQUEST, PROOF),
        ("no-nonce", "nonce is missing", proof(), NONCE_REQUEST, with_nonce("n1")),
        ("wrong-nonce", "a wrong nonce", with_nonce("n3"), NONCE_REQUEST, with_nonce("n1")),
        (
            "no-ath",
            "ath is missing",
            resource_proof(claims=("," + ATH, "")),
            BOUND_REQUEST,
            resource_proof(),
        ),
        (
            "wrong-ath",
            "a wrong ath",
            resource_proof(claims=(ATH, f'"ath":"{base64url(digest("x"))}"')),
            BOUND_REQUEST,
            resource_proof(),
        ),
        (
            "not-the-bound-key",
            "the token is bound to another key",
            resource_proof(key=OTHER_P256_KEY),
            BOUND_REQUEST,
            resource_proof(),
        ),
    ):
        case(
            cases,
            f"V-39-{slug}",
            f"{unused}: {about}",
            [(bad, "reject"), (good, "accept"), (good, "replay")],
            context,
        )
    case(
        cases,
        "V-39-replayed-then-refused",
        "an accepted proof is still a replay after a proof with the same jti was rejected for its htm",
        [(PROOF, "accept"), (proof(claims=(HTM, '"htm":"GET"')), "reject"), (PROOF, "replay")],
    )


def build():
    cases = []
    same_proof(cases)
    same_jti_and_key(cases)
    other_jti_or_key(cases)
    rejected_proofs(cases)
    return table("replay", "sequences of proofs with one replay store", cases)
