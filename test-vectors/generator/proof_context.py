"""Proofs that are checked against a nonce, an access token or a bound key."""

import base64
import hashlib

from .encoding import base64url, base64url_decode, digest, set_unused_bits
from .keys import ED25519_KEY, EcKey, OTHER_P256_KEY, P256_KEY, P256_ORDER
from .proofs import ACCEPT, ACCESS_TOKEN, ATH, POLICY, ProofFile, RESOURCE_REQUEST, claims, header, last

FILE = "proof-context.json"


BOUND_REQUEST = dict(RESOURCE_REQUEST, jkt=P256_KEY.thumbprint())


def nonce(proofs):
    nonces = ["eyJ7S_zG.eyJH0-Z.HX4w-7v", "!older#nonce~1"]
    good = nonces[0]

    def with_nonce(value, **more):
        return claims(*last(f'"nonce":{value}'), **more)

    with_nonces = {"context_changes": {"nonces": nonces}}
    proofs.group(
        "V-44",
        "nonce",
        "RFC 9449 §4.3 (10), §8, §11.3",
        [
            ("nonce-current", "the first of the accepted nonces", with_nonce(f'"{good}"', **ACCEPT)),
            ("nonce-previous", "the second of the accepted nonces", with_nonce(f'"{nonces[1]}"', **ACCEPT)),
            ("nonce-missing", "nonce is missing", {}),
            ("nonce-wrong", "nonce is not one of the accepted ones", with_nonce('"another"')),
            ("nonce-upper-case", "the nonce in upper case", with_nonce(f'"{good.upper()}"')),
            ("nonce-truncated", "the last character of the nonce is missing", with_nonce(f'"{good[:-1]}"')),
            ("nonce-extended", "the nonce has an additional character", with_nonce(f'"{good}A"')),
            (
                "nonce-bit-flipped",
                "one bit of the last character of the nonce is flipped",
                with_nonce(f'"{good[:-1]}w"'),
            ),
            ("nonce-space", "there is a space after the nonce", with_nonce(f'"{good} "')),
            ("nonce-nul", "there is a NUL after the nonce", with_nonce(rf'"{good}\u0000"')),
            (
                "nonce-both",
                "both accepted nonces with a space between them",
                with_nonce(f'"{" ".join(nonces)}"'),
            ),
            ("nonce-empty", "nonce is empty", with_nonce('""')),
            ("nonce-null", "nonce is null", with_nonce("null")),
            ("nonce-number", "nonce is a number", with_nonce("1")),
            ("nonce-true", "nonce is true", with_nonce("true")),
            ("nonce-array", "nonce is an array with the correct value", with_nonce(f'["{good}"]')),
            ("nonce-object", "nonce is an object", with_nonce('{"":"%s"}' % good)),
            (
                "nonce-in-header",
                "the nonce is a header member instead of a claim",
                header(*last(f'"nonce":"{good}"')),
            ),
            ("nonce-upper-case-name", "the claim is called Nonce", claims(*last(f'"Nonce":"{good}"'))),
        ],
        **with_nonces,
    )
    proofs.group(
        "V-44",
        "nonce",
        "RFC 9449 §8, §11.3",
        [
            (
                "nonce-none-accepted",
                "there is a nonce, but the list of accepted nonces is empty",
                with_nonce(f'"{good}"', context_changes={"nonces": []}),
            ),
            (
                "nonce-missing-none-accepted",
                "nonce is missing and the list of accepted nonces is empty: one is still required",
                {"context_changes": {"nonces": []}},
            ),
            (
                "nonce-empty-in-list-missing",
                "nonce is missing and the list of accepted nonces contains an empty one",
                {"context_changes": {"nonces": [""]}, **POLICY},
            ),
            (
                "nonce-unsolicited",
                "there is a nonce, but the server does not use nonces",
                with_nonce(f'"{good}"', **POLICY),
            ),
            (
                "nonce-unsolicited-number",
                "nonce is a number, but the server does not use nonces",
                with_nonce("1", **POLICY),
            ),
        ],
    )
    proofs.group(
        "V-08",
        "unique",
        "RFC 7519 §4",
        [
            (
                "duplicate-nonce-first-valid",
                "two nonce claims, of which the first is correct",
                with_nonce(f'"{good}","nonce":"x"'),
            ),
            (
                "duplicate-nonce-last-valid",
                "two nonce claims, of which the last is correct",
                with_nonce(f'"x","nonce":"{good}"'),
            ),
        ],
        **with_nonces,
    )


def ath(proofs):
    def with_ath(value, **more):
        return claims(ATH, f'"ath":{value}', **more)

    token_hash = digest(ACCESS_TOKEN)
    proofs.group(
        "V-54",
        "ath",
        "RFC 9449 §4.2, §4.3 (12)",
        [
            ("ath-good", "ath is the hash of the token", ACCEPT),
            ("ath-missing", "ath is missing", claims("," + ATH, "")),
            ("ath-null", "ath is null", with_ath("null")),
            ("ath-empty", "ath is empty", with_ath('""')),
            ("ath-number", "ath is a number", with_ath("1")),
            (
                "ath-array",
                "ath is an array with the correct value",
                with_ath(f'["{base64url(token_hash)}"]'),
            ),
            (
                "ath-other-token",
                "ath is the hash of another token",
                with_ath(f'"{base64url(digest("another token"))}"'),
            ),
            ("ath-hex", "ath is in hexadecimal", with_ath(f'"{token_hash.hex()}"')),
            ("ath-padded", "ath ends in '='", with_ath(f'"{base64url(token_hash)}="')),
            (
                "ath-standard-alphabet",
                "ath is in the standard base64 alphabet",
                with_ath(f'"{base64.b64encode(token_hash).decode().rstrip("=")}"'),
            ),
            (
                "ath-trailing-bits",
                "unused bits of the last character of ath are set",
                with_ath(f'"{set_unused_bits(base64url(token_hash))}"'),
            ),
            (
                "ath-truncated",
                "the last character of ath is missing",
                with_ath(f'"{base64url(token_hash)[:-1]}"'),
            ),
            (
                "ath-half",
                "ath is the left half of the hash, like at_hash in OpenID Connect",
                with_ath(f'"{base64url(token_hash[:16])}"'),
            ),
            ("ath-extended", "ath has an additional character", with_ath(f'"{base64url(token_hash)}A"')),
            (
                "ath-sha512",
                "ath is the SHA-512 hash of the token",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN, "sha512"))}"'),
            ),
            (
                "ath-sha384",
                "ath is the SHA-384 hash of the token",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN, "sha384"))}"'),
            ),
            (
                "ath-sha1",
                "ath is the SHA-1 hash of the token",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN, "sha1"))}"'),
            ),
            (
                "ath-with-scheme",
                'ath is the hash of "DPoP " and the token',
                with_ath(f'"{base64url(digest("DPoP " + ACCESS_TOKEN))}"'),
            ),
            (
                "ath-without-padding-of-token",
                "ath is the hash of the token without its trailing '='",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN.rstrip("=")))}"'),
            ),
            (
                "ath-with-newline",
                "ath is the hash of the token and a line feed",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN + chr(10)))}"'),
            ),
            (
                "ath-of-hash",
                "ath is the hash of the hash",
                with_ath(f'"{base64url(hashlib.sha256(token_hash).digest())}"'),
            ),
            (
                "ath-of-hex",
                "ath is base64url of the hexadecimal hash",
                with_ath(f'"{base64url(token_hash.hex().encode())}"'),
            ),
            ("ath-token-itself", "ath is the token itself", with_ath(f'"{ACCESS_TOKEN}"')),
            (
                "ath-in-header",
                "ath is a header member instead of a claim",
                header(*last(ATH), claims=("," + ATH, "")),
            ),
        ],
        context=BOUND_REQUEST,
    )
    assert "-" in base64url(token_hash) or "_" in base64url(token_hash)
    proofs.group(
        "V-08",
        "unique",
        "RFC 7519 §4",
        [
            (
                "duplicate-ath-first-valid",
                "two ath claims, of which the first is correct",
                with_ath(f'"{base64url(token_hash)}","ath":"x"'),
            ),
            (
                "duplicate-ath-last-valid",
                "two ath claims, of which the last is correct",
                with_ath(f'"x","ath":"{base64url(token_hash)}"'),
            ),
        ],
        context=BOUND_REQUEST,
    )
    proofs.group(
        "V-31",
        "ath",
        "RFC 9449 §4.2: a proof that is sent with an access token has ath",
        [
            (
                "no-ath-same-place",
                "a proof for a token request is sent to the same URL with an access token",
                {"context_changes": {"access_token": ACCESS_TOKEN, "jkt": P256_KEY.thumbprint()}},
            ),
            (
                "ath-at-token-endpoint",
                "ath in a token request: a verifier may ignore it or reject the proof",
                claims(*last(ATH), **POLICY),
            ),
        ],
    )


def bound_key(proofs):
    proofs.group(
        "V-50",
        "jkt",
        "RFC 9449 §4.3 (12), §6, §7.1",
        [
            (
                "stolen-token",
                "a valid proof by a key that the token is not bound to",
                {"key": OTHER_P256_KEY},
            ),
            (
                "stolen-token-ed25519",
                "a valid proof by an Ed25519 key that the token is not bound to",
                {"key": ED25519_KEY},
            ),
            ("bound-key", "the proof is by the key that the token is bound to", ACCEPT),
            (
                "bound-key-ed25519",
                "the proof is by the Ed25519 key that the token is bound to",
                {"key": ED25519_KEY, "context_changes": {"jkt": ED25519_KEY.thumbprint()}, **ACCEPT},
            ),
            (
                "negated-key",
                "the proof is by the negated key, whose y is p - y",
                {"key": EcKey(P256_ORDER - P256_KEY.scalar)},
            ),
            (
                "jkt-padded",
                "the thumbprint of the token ends in '='",
                {"context_changes": {"jkt": P256_KEY.thumbprint() + "="}},
            ),
            (
                "jkt-hex",
                "the thumbprint of the token is in hexadecimal",
                {"context_changes": {"jkt": base64url_decode(P256_KEY.thumbprint()).hex()}},
            ),
            ("jkt-empty", "the thumbprint of the token is empty", {"context_changes": {"jkt": ""}}),
            (
                "jkt-truncated",
                "the last character of the thumbprint of the token is missing",
                {"context_changes": {"jkt": P256_KEY.thumbprint()[:-1]}},
            ),
            (
                "jkt-lower-case",
                "the thumbprint of the token is in lower case",
                {"context_changes": {"jkt": P256_KEY.thumbprint().lower()}},
            ),
        ],
        context=BOUND_REQUEST,
    )
    proofs.group(
        "V-57",
        "jkt",
        "RFC 9449 §5, §10",
        [
            (
                "token-request-other-key",
                "a token request (refresh token or dpop_jkt) bound to another key",
                {"context_changes": {"jkt": OTHER_P256_KEY.thumbprint()}},
            ),
            (
                "token-request-bound-key",
                "a token request bound to this key",
                {"context_changes": {"jkt": P256_KEY.thumbprint()}, **ACCEPT},
            ),
        ],
    )


def build():
    proofs = ProofFile("nonce, ath and the bound key")
    nonce(proofs)
    ath(proofs)
    bound_key(proofs)
    return proofs.content()
