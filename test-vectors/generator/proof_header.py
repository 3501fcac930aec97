"""Defects of typ, alg and crit, and header members that a verifier ignores."""

import hmac

from cryptography.hazmat.primitives import hashes, serialization

from .encoding import base64url, compact_json, digest
from .keys import (
    ED25519_KEY,
    ED25519_KEY_NEW_NAME,
    ED448_KEY,
    P256_KEY,
    P384_KEY,
    P521_KEY,
    RSA_KEY,
    SECP256K1_KEY,
    derive_bytes,
)
from .proofs import ACCEPT, ALG, NOW, POLICY, ProofFile, TYP, algs, header, jwk, last, signed

FILE = "proof-header.json"

RSA_ALGS = algs("RS256", "PS256", "ES256")


def with_alg(value, **more):
    return header(ALG, f'"alg":{value}', **more)


def typ(proofs):
    def with_typ(value, **more):
        return header(TYP, f'"typ":{value}', **more)

    proofs.group(
        "V-10",
        "typ",
        "RFC 9449 §4.2, §4.3 (4), §11.5",
        [
            ("typ-missing", "typ is missing", header(TYP + ",", "")),
            ("typ-null", "typ is null", with_typ("null")),
            ("typ-jwt", "typ is JWT", with_typ('"JWT"')),
            ("typ-at-jwt", "typ is that of a JWT access token", with_typ('"at+jwt"')),
            (
                "typ-client-authentication",
                "typ is that of a client assertion",
                with_typ('"client-authentication+jwt"'),
            ),
            ("typ-dpop", "typ is dpop", with_typ('"dpop"')),
            ("typ-longer", "typ has a suffix after the correct value", with_typ('"dpop+jwt;v=1"')),
            ("typ-space", "typ has a space after the correct value", with_typ('"dpop+jwt "')),
            ("typ-nul", "typ has a NUL after the correct value", with_typ(r'"dpop+jwt\u0000"')),
            ("typ-empty", "typ is empty", with_typ('""')),
            ("typ-number", "typ is a number", with_typ("1")),
            ("typ-array", "typ is an array with the correct value", with_typ('["dpop+jwt"]')),
        ],
    )
    proofs.group(
        "V-10",
        "typ",
        "RFC 7515 §4.1.9 treats them as the same media type; RFC 9449 §4.3 (4) names one value",
        [
            ("typ-upper-case", "typ is in upper case", with_typ('"DPOP+JWT"', **POLICY)),
            ("typ-mixed-case", "typ is DPoP+jwt", with_typ('"DPoP+jwt"', **POLICY)),
            (
                "typ-application",
                "typ has the prefix application/",
                with_typ('"application/dpop+jwt"', **POLICY),
            ),
        ],
        note="the crate rejects it: it accepts exactly dpop+jwt",
    )


def alg(proofs):
    def unsigned(header, claims, signature):
        return f"{header}.{claims}."

    proofs.group(
        "V-11",
        "alg",
        "RFC 9449 §4.3 (5), §11.6",
        [
            *(
                (
                    f"alg-{value}-signed",
                    f"alg is {value}, with a valid ES256 signature",
                    with_alg(f'"{value}"'),
                )
                for value in ("none", "None", "nOnE", "NONE")
            ),
            *(
                (
                    f"alg-{value}-unsigned",
                    f"alg is {value}, with an empty signature",
                    with_alg(f'"{value}"', assemble=unsigned, reason="segments"),
                )
                for value in ("none", "None", "nOnE")
            ),
        ],
    )
    proofs.group(
        "V-11",
        "alg",
        "RFC 7515 §4.1.1",
        [
            ("alg-missing", "alg is missing", header(ALG + ",", "")),
            ("alg-null", "alg is null", with_alg("null")),
            ("alg-number", "alg is a number", with_alg("256")),
            ("alg-array", "alg is an array", with_alg('["ES256"]')),
            ("alg-empty", "alg is empty", with_alg('""')),
            ("alg-lower-case", "alg is es256", with_alg('"es256"')),
            ("alg-space", "alg has a space after it", with_alg('"ES256 "')),
            ("alg-nul", "alg has a NUL after it", with_alg(r'"ES256\u0000"')),
            ("alg-unknown", "alg is ES255", with_alg('"ES255"')),
        ],
    )


def mac(proofs):
    def sign_with_mac(secret, name="sha256"):
        return signed(lambda message: hmac.new(secret, message, name).digest())

    def public_key_as(form):
        return P256_KEY.private.public_key().public_bytes(
            form, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    uncompressed_point = P256_KEY.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    oct_key = derive_bytes("oct")
    proofs.group(
        "V-12",
        "alg",
        "RFC 9449 §4.2, §11.6: alg must not be a MAC",
        [
            (
                "hs256-jwk-text",
                "HS256 whose key is the text of the jwk",
                with_alg('"HS256"', **sign_with_mac(compact_json(P256_KEY.jwk).encode())),
            ),
            (
                "hs256-pem",
                "HS256 whose key is the public key in PEM",
                with_alg('"HS256"', **sign_with_mac(public_key_as(serialization.Encoding.PEM))),
            ),
            (
                "hs256-der",
                "HS256 whose key is the public key in DER",
                with_alg('"HS256"', **sign_with_mac(public_key_as(serialization.Encoding.DER))),
            ),
            (
                "hs256-point",
                "HS256 whose key is the uncompressed point",
                with_alg('"HS256"', **sign_with_mac(uncompressed_point)),
            ),
            (
                "hs256-x",
                "HS256 whose key is the x coordinate",
                with_alg('"HS256"', **sign_with_mac(P256_KEY.x.to_bytes(32, "big"))),
            ),
            (
                "hs512-jwk-text",
                "HS512 whose key is the text of the jwk",
                with_alg('"HS512"', **sign_with_mac(compact_json(P256_KEY.jwk).encode(), "sha512")),
            ),
            (
                "hs256-oct",
                "HS256 whose key is in the jwk, of type oct",
                with_alg(
                    '"HS256"',
                    jwk_text=compact_json({"kty": "oct", "k": base64url(oct_key)}),
                    **sign_with_mac(oct_key),
                ),
            ),
            (
                "es256-oct",
                "ES256 with a jwk of type oct",
                {
                    "jwk_text": compact_json({"kty": "oct", "k": base64url(oct_key)}),
                    "reason": "private",
                    **sign_with_mac(oct_key),
                },
            ),
        ],
        sole=False,
    )


def alg_and_key(proofs):
    def okp_named(key, crv):
        return jwk('"crv":"Ed25519"', f'"crv":"{crv}"', key=key)

    proofs.group(
        "V-13",
        "key-alg",
        "RFC 7518 §3.1, RFC 8725 §3.1: alg and the key match",
        [
            (
                "es256-p384-key",
                "ES256 with a P-384 key",
                header(
                    '"alg":"ES384"',
                    ALG,
                    key=P384_KEY,
                    sign=lambda message: P384_KEY.sign(message, hashes.SHA256()),
                ),
            ),
            (
                "es256-p521-key",
                "ES256 with a P-521 key",
                header(
                    '"alg":"ES512"',
                    ALG,
                    key=P521_KEY,
                    sign=lambda message: P521_KEY.sign(message, hashes.SHA256()),
                ),
            ),
            (
                "es256-secp256k1-key",
                "ES256 with a secp256k1 key",
                header('"alg":"ES256K"', ALG, key=SECP256K1_KEY),
            ),
            (
                "es384-p256-key",
                "ES384 with a P-256 key",
                with_alg(
                    '"ES384"',
                    sign=lambda message: P256_KEY.sign(message, hashes.SHA384()),
                    **algs("ES256", "ES384"),
                ),
            ),
            ("rs256-ec-key", "RS256 with a P-256 key", with_alg('"RS256"', **RSA_ALGS)),
            ("eddsa-ec-key", "EdDSA with a P-256 key", with_alg('"EdDSA"')),
            ("ed25519-ec-key", "Ed25519 with a P-256 key", with_alg('"Ed25519"')),
            (
                "es256-ed25519-key",
                "ES256 with an Ed25519 key",
                header('"alg":"EdDSA"', ALG, key=ED25519_KEY),
            ),
            (
                "es256-rsa-key",
                "ES256 with an RSA key",
                header('"alg":"RS256"', ALG, key=RSA_KEY, **RSA_ALGS),
            ),
            (
                "eddsa-x25519-key",
                "EdDSA with an Ed25519 key whose crv is X25519",
                okp_named(ED25519_KEY, "X25519"),
            ),
            (
                "ed25519-ed448-key",
                "Ed25519 with an Ed448 key",
                header('"alg":"EdDSA"', '"alg":"Ed25519"', key=ED448_KEY),
            ),
            ("jwk-alg-conflict", "alg in the jwk is ES384", jwk(*last('"alg":"ES384"'))),
            ("jwk-alg-conflict-mac", "alg in the jwk is HS256", jwk(*last('"alg":"HS256"'))),
            (
                "jwk-alg-conflict-okp",
                "alg in the jwk of an Ed25519 key is ES256",
                jwk(*last('"alg":"ES256"'), key=ED25519_KEY),
            ),
        ],
    )
    proofs.group(
        "V-13",
        "signature",
        "RFC 7518 §3.3, §3.5",
        [
            (
                "ps256-rs256-signature",
                "alg is PS256, but the signature is by RS256",
                header('"alg":"RS256"', '"alg":"PS256"', key=RSA_KEY, **RSA_ALGS),
            )
        ],
    )
    proofs.group(
        "V-13",
        "key-alg",
        "RFC 9864 §2.2, RFC 7517 §4.2 to §4.4",
        [
            (
                "jwk-alg-ed25519-for-eddsa",
                "alg in the jwk is Ed25519 and alg in the header is EdDSA: two names of one algorithm",
                jwk(*last('"alg":"Ed25519"'), key=ED25519_KEY, **POLICY),
            ),
            ("jwk-use-enc", "use in the jwk is enc", jwk(*last('"use":"enc"'), **POLICY)),
            (
                "jwk-key-ops-encrypt",
                "key_ops in the jwk does not contain verify",
                jwk(*last('"key_ops":["encrypt"]'), **POLICY),
            ),
            ("jwk-alg-number", "alg in the jwk is a number", jwk(*last('"alg":1'), **POLICY)),
        ],
    )


def accepted_algorithms(proofs):
    proofs.group(
        "V-14",
        "alg",
        "RFC 9449 §4.3 (5): the algorithm is acceptable per local policy",
        [
            (
                "es256-outside-list",
                "ES256, but only EdDSA and Ed25519 are accepted",
                algs("EdDSA", "Ed25519"),
            ),
            (
                "eddsa-outside-list",
                "EdDSA, but only ES256 is accepted",
                dict(key=ED25519_KEY, **algs("ES256")),
            ),
            (
                "ed25519-outside-list",
                "Ed25519, but only ES256 is accepted",
                dict(key=ED25519_KEY_NEW_NAME, **algs("ES256")),
            ),
            ("es256k-by-default", "ES256K is not accepted by default", dict(key=SECP256K1_KEY)),
            (
                "rs1-by-default",
                "RS1 (SHA-1) is not accepted by default",
                header(
                    '"alg":"RS256"',
                    '"alg":"RS1"',
                    key=RSA_KEY,
                    sign=lambda message: RSA_KEY.sign(message, "sha1"),
                    sole=False,
                ),
            ),
            (
                "rs384-outside-list",
                "RS384, but only RS256 is accepted",
                dict(key=RSA_KEY.with_algorithm("RS384"), **algs("RS256")),
            ),
            (
                "ps256-outside-list",
                "PS256, but only RS256 is accepted",
                dict(key=RSA_KEY.with_algorithm("PS256"), **algs("RS256")),
            ),
            (
                "es384-outside-list",
                "ES384, but only ES256 is accepted",
                dict(key=P384_KEY, **algs("ES256")),
            ),
            ("es256-alone", "ES256, which is the only accepted algorithm", dict(algs("ES256"), **ACCEPT)),
            (
                "eddsa-alone",
                "EdDSA, which is the only accepted algorithm",
                dict(algs("EdDSA"), key=ED25519_KEY, **ACCEPT),
            ),
            (
                "ed25519-alone",
                "Ed25519, which is the only accepted algorithm",
                dict(algs("Ed25519"), key=ED25519_KEY_NEW_NAME, **ACCEPT),
            ),
            (
                "es384-alone",
                "ES384, which is the only accepted algorithm",
                dict(algs("ES384"), key=P384_KEY, **ACCEPT),
            ),
            *(
                (
                    f"{alg.lower()}-alone",
                    f"{alg}, which is the only accepted algorithm",
                    dict(algs(alg), key=RSA_KEY.with_algorithm(alg), **ACCEPT),
                )
                for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
            ),
            (
                "ed25519-where-eddsa",
                "Ed25519, but only EdDSA is accepted: two names of one algorithm",
                dict(algs("EdDSA"), key=ED25519_KEY_NEW_NAME, **POLICY),
            ),
            (
                "eddsa-where-ed25519",
                "EdDSA, but only Ed25519 is accepted: two names of one algorithm",
                dict(algs("Ed25519"), key=ED25519_KEY, **POLICY),
            ),
            *(
                (
                    f"{slug}-by-default",
                    f"{text}: a verifier may accept it by default",
                    dict(key=key, **POLICY),
                )
                for slug, text, key in (
                    ("rs256", "RS256 with an RSA key of 2,048 bits", RSA_KEY),
                    ("es384", "ES384", P384_KEY),
                    ("es512", "ES512", P521_KEY),
                    ("ed448", "EdDSA with Ed448", ED448_KEY),
                )
            ),
        ],
    )


def crit(proofs):
    def with_crit(value, more=""):
        return header(*last(f'"crit":{value}{more}'))

    proofs.group(
        "V-15",
        "crit",
        "RFC 7515 §4.1.11; the verifier of these vectors understands no extensions",
        [
            ("crit-unknown", "crit names an unknown member that is present", with_crit('["a"]', ',"a":1')),
            ("crit-unknown-absent", "crit names a member that is missing", with_crit('["a"]')),
            ("crit-empty", "crit is an empty array", with_crit("[]")),
            ("crit-registered", "crit names alg", with_crit('["alg"]')),
            ("crit-jwk", "crit names jwk", with_crit('["jwk"]')),
            ("crit-string", "crit is a string", with_crit('"a"', ',"a":1')),
            ("crit-null", "crit is null", with_crit("null")),
            ("crit-object", "crit is an object", with_crit("{}")),
            ("crit-false", "crit is false", with_crit("false")),
            ("crit-exp", "crit names exp", with_crit('["exp"]', f',"exp":{NOW + 60}')),
            ("crit-b64-true", "crit names b64, which is true", with_crit('["b64"]', ',"b64":true')),
            ("crit-b64-false", "crit names b64, which is false", with_crit('["b64"]', ',"b64":false')),
        ],
    )
    proofs.group(
        "V-15",
        "crit",
        "RFC 7797 §6 and §7, RFC 7515 §4.1.11",
        [
            (
                "b64-false-alone",
                "b64 is false and crit is missing: a verifier may ignore b64 or reject the proof",
                header(*last('"b64":false'), **POLICY),
            )
        ],
    )


def ignored_members(proofs):
    proofs.group(
        "V-16",
        None,
        "RFC 7515 §4.1.2 to §4.1.8, RFC 8725 §3.10: a verifier neither fetches nor looks up a key",
        [
            ("kid", "kid names another key", header(*last('"kid":"another key"'))),
            ("kid-path", "kid looks like a path", header(*last('"kid":"../../dev/null"'))),
            ("kid-number", "kid is a number", header(*last('"kid":7'), **POLICY)),
            (
                "jku",
                "jku is a URL that must not be fetched",
                header(*last('"jku":"http://169.254.169.254/jwks"')),
            ),
            (
                "x5u",
                "x5u is a URL that must not be fetched",
                header(*last('"x5u":"http://169.254.169.254/cert"')),
            ),
            ("x5c", "x5c contains something that is not a certificate", header(*last('"x5c":["AAAA"]'))),
            ("x5t", "the header has x5t#S256", header(*last('"x5t#S256":"%s"' % base64url(digest("x"))))),
        ],
        **ACCEPT,
    )


def build():
    proofs = ProofFile("typ, alg, crit and the header members that a verifier ignores")
    typ(proofs)
    alg(proofs)
    mac(proofs)
    alg_and_key(proofs)
    accepted_algorithms(proofs)
    crit(proofs)
    ignored_members(proofs)
    return proofs.content()
