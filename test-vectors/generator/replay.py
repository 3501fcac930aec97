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
        "the same proof twice, and once more",
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
            "htu with port 443",
            claims(TOKEN_URL, "https://server.example.com:443/token"),
        ),
        (
            "htu-upper-case",
            "htu with the host in upper case",
            claims(TOKEN_URL, "https://SERVER.example.com/token"),
        ),
        (
            "htu-dot-segments",
            "htu with dot segments",
            claims(TOKEN_URL, "https://server.example.com/a/../token"),
        ),
        ("htu-escape", "htu with an escape", claims(TOKEN_URL, "https://server.example.com/t%6Fken")),
        ("htu-query", "htu with a query", claims(TOKEN_URL, TOKEN_URL + "?a=b")),
        ("htu-fragment", "htu with a fragment", claims(TOKEN_URL, TOKEN_URL + "#a")),
        ("high-s", "the signature with n - s", {"change_signature": negate_s}),
        ("signed-again", "a second signature over the same bytes", {"sign": P256_KEY.sign_with_fixed_k}),
        ("other-iat", "iat a second earlier", claims(IAT, f'"iat":{NOW - 1}')),
        ("newest-iat", "iat at the end of the window", claims(IAT, f'"iat":{NOW + FUTURE_SKEW}')),
        ("other-claim", "one more claim", claims(*last('"a":1'))),
        ("other-header", "one more header member", header(*last('"kid":"1"'))),
        (
            "jwk-reordered",
            "the members of jwk in another order",
            {"jwk_text": compact_json(dict(reversed(P256_KEY.jwk.items())))},
        ),
        ("jwk-extra-member", "one more member in jwk", jwk(*last('"kid":"1"'))),
        ("jti-escaped", "the same jti written with an escape", claims('"@jti"', r'"\u006fne"')),
        ("white-space", "white space in the claims", claims(",", " , ")),
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
        "the same jti and key again: another accepted nonce",
        [(with_nonce("n1"), "accept"), (with_nonce("n2"), "replay")],
        NONCE_REQUEST,
    )
    case(
        cases,
        "V-37-ed25519-other-name",
        "the same jti and key again: Ed25519 for EdDSA",
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
        "somebody uses my jti before me",
        [(other, "accept"), (PROOF, "accept")],
    )
    case(
        cases,
        "V-38-other-kind",
        "a key of another kind with the same jti",
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
            "two jti that are not the same string",
            [(proof(a), "accept"), (proof(b), "accept"), (proof(a), "replay"), (proof(b), "replay")],
        )


def rejected_proofs(cases):
    unused = "a refused proof does not use up its jti"

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
            "signed by another key under this jwk",
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
            "an iat before the window",
            proof(claims=(IAT, f'"iat":{NOW - MAX_AGE - 1}')),
            TOKEN_REQUEST,
            PROOF,
        ),
        (
            "too-new",
            "an iat after the window",
            proof(claims=(IAT, f'"iat":{NOW + FUTURE_SKEW + 1}')),
            TOKEN_REQUEST,
            PROOF,
        ),
        ("expired", "exp is past", proof(claims=last(f'"exp":{NOW - 3600}')), TOKEN_REQUEST, PROOF),
        ("no-nonce", "no nonce", proof(), NONCE_REQUEST, with_nonce("n1")),
        ("wrong-nonce", "a wrong nonce", with_nonce("n3"), NONCE_REQUEST, with_nonce("n1")),
        ("no-ath", "no ath", resource_proof(claims=("," + ATH, "")), BOUND_REQUEST, resource_proof()),
        (
            "wrong-ath",
            "a wrong ath",
            resource_proof(claims=(ATH, f'"ath":"{base64url(digest("x"))}"')),
            BOUND_REQUEST,
            resource_proof(),
        ),
        (
            "not-the-bound-key",
            "not the key that the token is bound to",
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
        "a proof that was accepted once and is then refused for its htm is not accepted after that either",
        [(PROOF, "accept"), (proof(claims=(HTM, '"htm":"GET"')), "reject"), (PROOF, "replay")],
    )


def build():
    cases = []
    same_proof(cases)
    same_jti_and_key(cases)
    other_jti_or_key(cases)
    rejected_proofs(cases)
    return table("replay", "several proofs against one store", cases)
