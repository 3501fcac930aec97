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
            ("nonce-missing", "no nonce", {}),
            ("nonce-wrong", "another nonce", with_nonce('"another"')),
            ("nonce-upper-case", "the nonce in upper case", with_nonce(f'"{good.upper()}"')),
            ("nonce-truncated", "the last letter is missing", with_nonce(f'"{good[:-1]}"')),
            ("nonce-extended", "a letter more", with_nonce(f'"{good}A"')),
            ("nonce-bit-flipped", "one bit of the last letter is another", with_nonce(f'"{good[:-1]}w"')),
            ("nonce-space", "a space after it", with_nonce(f'"{good} "')),
            ("nonce-nul", "a NUL after it", with_nonce(rf'"{good}\u0000"')),
            (
                "nonce-both",
                "both accepted nonces, with a space between",
                with_nonce(f'"{" ".join(nonces)}"'),
            ),
            ("nonce-empty", "an empty nonce", with_nonce('""')),
            ("nonce-null", "nonce is null", with_nonce("null")),
            ("nonce-number", "nonce is a number", with_nonce("1")),
            ("nonce-true", "nonce is true", with_nonce("true")),
            ("nonce-array", "nonce is an array with the right value", with_nonce(f'["{good}"]')),
            ("nonce-object", "nonce is an object", with_nonce('{"":"%s"}' % good)),
            ("nonce-in-header", "the nonce is in the header", header(*last(f'"nonce":"{good}"'))),
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
                "a nonce where the list of accepted ones is empty",
                with_nonce(f'"{good}"', context_changes={"nonces": []}),
            ),
            (
                "nonce-missing-none-accepted",
                "no nonce where the list of accepted ones is empty: one is required all the same",
                {"context_changes": {"nonces": []}},
            ),
            (
                "nonce-empty-in-list-missing",
                "no nonce where an empty one is in the list",
                {"context_changes": {"nonces": [""]}, **POLICY},
            ),
            ("nonce-unsolicited", "a nonce where the server gives none", with_nonce(f'"{good}"', **POLICY)),
            (
                "nonce-unsolicited-number",
                "a nonce that is a number, where the server gives none",
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
                "two nonces, the first one right",
                with_nonce(f'"{good}","nonce":"x"'),
            ),
            (
                "duplicate-nonce-last-valid",
                "two nonces, the last one right",
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
            ("ath-good", "the hash of the token", ACCEPT),
            ("ath-missing", "ath is missing", claims("," + ATH, "")),
            ("ath-null", "ath is null", with_ath("null")),
            ("ath-empty", "ath is empty", with_ath('""')),
            ("ath-number", "ath is a number", with_ath("1")),
            ("ath-array", "ath is an array with the right value", with_ath(f'["{base64url(token_hash)}"]')),
            (
                "ath-other-token",
                "the hash of another token",
                with_ath(f'"{base64url(digest("another token"))}"'),
            ),
            ("ath-hex", "the hash in hexadecimal", with_ath(f'"{token_hash.hex()}"')),
            ("ath-padded", "the hash with padding", with_ath(f'"{base64url(token_hash)}="')),
            (
                "ath-standard-alphabet",
                "the hash in the standard base64 alphabet",
                with_ath(f'"{base64.b64encode(token_hash).decode().rstrip("=")}"'),
            ),
            (
                "ath-trailing-bits",
                "unused bits of the last character are set",
                with_ath(f'"{set_unused_bits(base64url(token_hash))}"'),
            ),
            ("ath-truncated", "the last character is missing", with_ath(f'"{base64url(token_hash)[:-1]}"')),
            (
                "ath-half",
                "the left half of the hash, as in OpenID Connect",
                with_ath(f'"{base64url(token_hash[:16])}"'),
            ),
            ("ath-extended", "the hash with a character more", with_ath(f'"{base64url(token_hash)}A"')),
            (
                "ath-sha512",
                "the SHA-512 of the token",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN, "sha512"))}"'),
            ),
            (
                "ath-sha384",
                "the SHA-384 of the token",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN, "sha384"))}"'),
            ),
            (
                "ath-sha1",
                "the SHA-1 of the token",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN, "sha1"))}"'),
            ),
            (
                "ath-with-scheme",
                'the hash of "DPoP " and the token',
                with_ath(f'"{base64url(digest("DPoP " + ACCESS_TOKEN))}"'),
            ),
            (
                "ath-without-padding-of-token",
                "the hash of the token without its '='",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN.rstrip("=")))}"'),
            ),
            (
                "ath-with-newline",
                "the hash of the token and a line feed",
                with_ath(f'"{base64url(digest(ACCESS_TOKEN + chr(10)))}"'),
            ),
            (
                "ath-of-hash",
                "the hash of the hash",
                with_ath(f'"{base64url(hashlib.sha256(token_hash).digest())}"'),
            ),
            (
                "ath-of-hex",
                "base64url of the hexadecimal text",
                with_ath(f'"{base64url(token_hash.hex().encode())}"'),
            ),
            ("ath-token-itself", "the token itself", with_ath(f'"{ACCESS_TOKEN}"')),
            ("ath-in-header", "ath is in the header", header(*last(ATH), claims=("," + ATH, ""))),
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
                "two ath, the first one right",
                with_ath(f'"{base64url(token_hash)}","ath":"x"'),
            ),
            (
                "duplicate-ath-last-valid",
                "two ath, the last one right",
                with_ath(f'"x","ath":"{base64url(token_hash)}"'),
            ),
        ],
        context=BOUND_REQUEST,
    )
    proofs.group(
        "V-31",
        "ath",
        "RFC 9449 §4.2: ath goes with an access token",
        [
            (
                "no-ath-same-place",
                "a token-endpoint proof, shown at the same URL with an access token",
                {"context_changes": {"access_token": ACCESS_TOKEN, "jkt": P256_KEY.thumbprint()}},
            ),
            (
                "ath-at-token-endpoint",
                "ath at the token endpoint: an unknown claim, or a fault",
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
            ("stolen-token", "a good proof by another key than the token's", {"key": OTHER_P256_KEY}),
            ("stolen-token-ed25519", "a good proof by another key of another kind", {"key": ED25519_KEY}),
            ("bound-key", "the token's own key", ACCEPT),
            (
                "bound-key-ed25519",
                "the token's own Ed25519 key",
                {"key": ED25519_KEY, "context_changes": {"jkt": ED25519_KEY.thumbprint()}, **ACCEPT},
            ),
            ("negated-key", "the key whose y is p - y", {"key": EcKey(P256_ORDER - P256_KEY.scalar)}),
            (
                "jkt-padded",
                "the token's thumbprint is padded",
                {"context_changes": {"jkt": P256_KEY.thumbprint() + "="}},
            ),
            (
                "jkt-hex",
                "the token's thumbprint is in hexadecimal",
                {"context_changes": {"jkt": base64url_decode(P256_KEY.thumbprint()).hex()}},
            ),
            ("jkt-empty", "the token's thumbprint is empty", {"context_changes": {"jkt": ""}}),
            (
                "jkt-truncated",
                "the token's thumbprint is cut short",
                {"context_changes": {"jkt": P256_KEY.thumbprint()[:-1]}},
            ),
            (
                "jkt-lower-case",
                "the token's thumbprint in lower case",
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
    proofs = ProofFile("nonce, ath, the bound key and the method and place of use")
    nonce(proofs)
    ath(proofs)
    bound_key(proofs)
    return proofs.content()
