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
            ("typ-at-jwt", "typ is that of an access token", with_typ('"at+jwt"')),
            (
                "typ-client-authentication",
                "typ is that of a client assertion",
                with_typ('"client-authentication+jwt"'),
            ),
            ("typ-dpop", "typ is cut short", with_typ('"dpop"')),
            ("typ-longer", "typ has something after the right value", with_typ('"dpop+jwt;v=1"')),
            ("typ-space", "typ has a space after the right value", with_typ('"dpop+jwt "')),
            ("typ-nul", "typ has a NUL after the right value", with_typ(r'"dpop+jwt\u0000"')),
            ("typ-empty", "typ is empty", with_typ('""')),
            ("typ-number", "typ is a number", with_typ("1")),
            ("typ-array", "typ is an array with the right value", with_typ('["dpop+jwt"]')),
        ],
    )
    proofs.group(
        "V-10",
        "typ",
        "RFC 7515 §4.1.9 treats them as the same media type, RFC 9449 §4.3 (4) prints one value",
        [
            ("typ-upper-case", "typ in upper case", with_typ('"DPOP+JWT"', **POLICY)),
            ("typ-mixed-case", "typ as DPoP+jwt", with_typ('"DPoP+jwt"', **POLICY)),
            (
                "typ-application",
                "typ with the application/ prefix",
                with_typ('"application/dpop+jwt"', **POLICY),
            ),
        ],
        note="the crate rejects: typ is exactly dpop+jwt",
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
                    f"alg is {value}, with a good ES256 signature",
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
        "RFC 9449 §4.2, §11.6: no MAC",
        [
            (
                "hs256-jwk-text",
                "HS256 keyed with the text of the jwk",
                with_alg('"HS256"', **sign_with_mac(compact_json(P256_KEY.jwk).encode())),
            ),
            (
                "hs256-pem",
                "HS256 keyed with the public key as PEM",
                with_alg('"HS256"', **sign_with_mac(public_key_as(serialization.Encoding.PEM))),
            ),
            (
                "hs256-der",
                "HS256 keyed with the public key as DER",
                with_alg('"HS256"', **sign_with_mac(public_key_as(serialization.Encoding.DER))),
            ),
            (
                "hs256-point",
                "HS256 keyed with the uncompressed point",
                with_alg('"HS256"', **sign_with_mac(uncompressed_point)),
            ),
            (
                "hs256-x",
                "HS256 keyed with the x coordinate",
                with_alg('"HS256"', **sign_with_mac(P256_KEY.x.to_bytes(32, "big"))),
            ),
            (
                "hs512-jwk-text",
                "HS512 keyed with the text of the jwk",
                with_alg('"HS512"', **sign_with_mac(compact_json(P256_KEY.jwk).encode(), "sha512")),
            ),
            (
                "hs256-oct",
                "HS256 with the secret itself as an oct jwk",
                with_alg(
                    '"HS256"',
                    jwk_text=compact_json({"kty": "oct", "k": base64url(oct_key)}),
                    **sign_with_mac(oct_key),
                ),
            ),
            (
                "es256-oct",
                "ES256 over an oct jwk",
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
        "RFC 7518 §3.1, RFC 8725 §3.1: alg and key agree",
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
            ("eddsa-x25519-key", "EdDSA with the key named X25519", okp_named(ED25519_KEY, "X25519")),
            (
                "ed25519-ed448-key",
                "Ed25519 with an Ed448 key",
                header('"alg":"EdDSA"', '"alg":"Ed25519"', key=ED448_KEY),
            ),
            ("jwk-alg-conflict", "jwk.alg says ES384", jwk(*last('"alg":"ES384"'))),
            ("jwk-alg-conflict-mac", "jwk.alg says HS256", jwk(*last('"alg":"HS256"'))),
            (
                "jwk-alg-conflict-okp",
                "jwk.alg says ES256 for an Ed25519 key",
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
                "PS256, signed as RS256",
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
                "jwk.alg says Ed25519 where alg says EdDSA, the same function",
                jwk(*last('"alg":"Ed25519"'), key=ED25519_KEY, **POLICY),
            ),
            ("jwk-use-enc", "jwk.use says enc", jwk(*last('"use":"enc"'), **POLICY)),
            (
                "jwk-key-ops-encrypt",
                "jwk.key_ops does not list verify",
                jwk(*last('"key_ops":["encrypt"]'), **POLICY),
            ),
            ("jwk-alg-number", "jwk.alg is a number", jwk(*last('"alg":1'), **POLICY)),
        ],
    )


def accepted_algorithms(proofs):
    proofs.group(
        "V-14",
        "alg",
        "RFC 9449 §4.3 (5): acceptable by local policy",
        [
            (
                "es256-outside-list",
                "ES256 where the list has EdDSA and Ed25519 alone",
                algs("EdDSA", "Ed25519"),
            ),
            (
                "eddsa-outside-list",
                "EdDSA where the list has ES256 alone",
                dict(key=ED25519_KEY, **algs("ES256")),
            ),
            (
                "ed25519-outside-list",
                "Ed25519 where the list has ES256 alone",
                dict(key=ED25519_KEY_NEW_NAME, **algs("ES256")),
            ),
            ("es256k-by-default", "ES256K is not on a default list", dict(key=SECP256K1_KEY)),
            (
                "rs1-by-default",
                "RS1 (SHA-1) is not on a default list",
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
                "RS384 where the list has RS256 alone",
                dict(key=RSA_KEY.with_algorithm("RS384"), **algs("RS256")),
            ),
            (
                "ps256-outside-list",
                "PS256 where the list has RS256 alone",
                dict(key=RSA_KEY.with_algorithm("PS256"), **algs("RS256")),
            ),
            (
                "es384-outside-list",
                "ES384 where the list has ES256 alone",
                dict(key=P384_KEY, **algs("ES256")),
            ),
            ("es256-alone", "the list has ES256 alone", dict(algs("ES256"), **ACCEPT)),
            ("eddsa-alone", "the list has EdDSA alone", dict(algs("EdDSA"), key=ED25519_KEY, **ACCEPT)),
            (
                "ed25519-alone",
                "the list has Ed25519 alone",
                dict(algs("Ed25519"), key=ED25519_KEY_NEW_NAME, **ACCEPT),
            ),
            ("es384-alone", "the list has ES384 alone", dict(algs("ES384"), key=P384_KEY, **ACCEPT)),
            *(
                (
                    f"{alg.lower()}-alone",
                    f"the list has {alg} alone",
                    dict(algs(alg), key=RSA_KEY.with_algorithm(alg), **ACCEPT),
                )
                for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
            ),
            (
                "ed25519-where-eddsa",
                "Ed25519 where the list has EdDSA: two names of one function",
                dict(algs("EdDSA"), key=ED25519_KEY_NEW_NAME, **POLICY),
            ),
            (
                "eddsa-where-ed25519",
                "EdDSA where the list has Ed25519: two names of one function",
                dict(algs("Ed25519"), key=ED25519_KEY, **POLICY),
            ),
            *(
                (f"{slug}-by-default", f"{text}: a default list may have it", dict(key=key, **POLICY))
                for slug, text, key in (
                    ("rs256", "RS256, RSA of 2,048 bits", RSA_KEY),
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
        "RFC 7515 §4.1.11; no extension is understood here",
        [
            ("crit-unknown", "crit names an unknown member that is there", with_crit('["a"]', ',"a":1')),
            ("crit-unknown-absent", "crit names a member that is not there", with_crit('["a"]')),
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
                "b64 is false and crit is missing: an unknown member, or a fault",
                header(*last('"b64":false'), **POLICY),
            )
        ],
    )


def ignored_members(proofs):
    proofs.group(
        "V-16",
        None,
        "RFC 7515 §4.1.2 to §4.1.8, RFC 8725 §3.10: never fetched, never looked up",
        [
            ("kid", "kid names another key", header(*last('"kid":"another key"'))),
            ("kid-path", "kid looks like a path", header(*last('"kid":"../../dev/null"'))),
            ("kid-number", "kid is a number", header(*last('"kid":7'), **POLICY)),
            (
                "jku",
                "jku is an address that must not be fetched",
                header(*last('"jku":"http://169.254.169.254/jwks"')),
            ),
            (
                "x5u",
                "x5u is an address that must not be fetched",
                header(*last('"x5u":"http://169.254.169.254/cert"')),
            ),
            ("x5c", "x5c holds something that is no certificate", header(*last('"x5c":["AAAA"]'))),
            (
                "x5t",
                "x5t#S256 of some certificate",
                header(*last('"x5t#S256":"%s"' % base64url(digest("x")))),
            ),
        ],
        **ACCEPT,
    )


def build():
    proofs = ProofFile("typ, alg, crit and the header members that are not looked at")
    typ(proofs)
    alg(proofs)
    mac(proofs)
    alg_and_key(proofs)
    accepted_algorithms(proofs)
    crit(proofs)
    ignored_members(proofs)
    return proofs.content()
