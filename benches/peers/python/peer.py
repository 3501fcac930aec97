"""Usage: peer.py PEER OPERATION MILLISECONDS, where PEER is PyJWT, joserfc, Authlib or requests_oauth2client.

The first three are libraries for JWTs. For each, this is the minimum of code that makes and verifies DPoP proofs, in the way
that its documentation shows.
"""

import functools
import hashlib
import importlib.metadata
import itertools
import json
import pathlib
import sys
import time
import uuid
from base64 import urlsafe_b64encode

WORKLOAD = json.loads((pathlib.Path(__file__).parent.parent / "workload.json").read_text())
METHOD, URL, NONCE, MAX_AGE = (WORKLOAD[name] for name in ("method", "url", "nonce", "max_age"))
ACCESS_TOKEN = WORKLOAD["access_token"]


def sha256(data):
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def ath(access_token):
    return sha256(access_token.encode())


def public(jwk):
    return {name: jwk[name] for name in ("kty", "crv", "x", "y")}


def thumbprint(jwk):
    """Returns the thumbprint (RFC 7638), for peers that cannot compute it."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return sha256(json.dumps(members, separators=(",", ":")).encode())


def claims(access_token):
    return {
        "jti": str(uuid.uuid4()),
        "htm": METHOD,
        "htu": URL,
        "iat": int(time.time()),
        "ath": ath(access_token),
        "nonce": NONCE,
    }


def compare(header, claims, access_token, jkt_of_key, jkt):
    """Makes the comparisons that a library for JWTs leaves to its user."""
    if not (
        header.get("typ") == "dpop+jwt"
        and header.get("alg") == "ES256"
        and jkt_of_key == jkt
        and isinstance(claims.get("jti"), str)
        and claims.get("htm") == METHOD
        and claims.get("htu") == URL
        and claims.get("ath") == ath(access_token)
        and claims.get("nonce") == NONCE
        and isinstance(claims.get("iat"), int)
        and abs(time.time() - claims["iat"]) <= MAX_AGE
    ):
        raise ValueError("a claim or a header parameter is wrong")


# Each peer is a pair of functions. The first generates a key and returns a function that makes proofs with it, and the
# thumbprint of the key. The second verifies a proof and raises any exception if it is invalid.


def pyjwt():
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec

    def maker():
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = public(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True))
        headers = {"typ": "dpop+jwt", "jwk": jwk}
        prove = lambda token: jwt.encode(claims(token), key, algorithm="ES256", headers=headers)
        return prove, thumbprint(jwk)

    def check(proof, access_token, jkt):
        jwk = jwt.get_unverified_header(proof)["jwk"]
        key = jwt.PyJWK(jwk, "ES256")
        whole = jwt.decode_complete(proof, key, algorithms=["ES256"])
        compare(whole["header"], whole["payload"], access_token, thumbprint(jwk), jkt)

    return maker, check


def joserfc():
    from joserfc import jwt
    from joserfc.jwk import ECKey

    def maker():
        key = ECKey.generate_key("P-256")
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(key.as_dict(private=False))}
        return lambda token: jwt.encode(header, claims(token), key), key.thumbprint()

    def check(proof, access_token, jkt):
        embedded = None

        def key_of(token):
            nonlocal embedded
            embedded = ECKey.import_key(token.headers()["jwk"])
            return embedded

        token = jwt.decode(proof, key_of, algorithms=["ES256"])
        compare(token.header, token.claims, access_token, embedded.thumbprint(), jkt)

    return maker, check


def authlib():
    import warnings

    # authlib.jose is deprecated in favour of joserfc, but still there and widely used. It enables its warnings itself.
    warnings.showwarning = lambda *_, **__: None
    from authlib.jose import ECKey, JsonWebToken

    tokens = JsonWebToken(["ES256"])

    def maker():
        key = ECKey.generate_key("P-256", is_private=True)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(key.as_dict(is_private=False))}
        # It changes the header that it is given, so each proof has a copy.
        return lambda token: tokens.encode(dict(header), claims(token), key).decode(), key.thumbprint()

    def check(proof, access_token, jkt):
        embedded = None

        def key_of(header, _):
            nonlocal embedded
            embedded = ECKey.import_key(header["jwk"])
            return embedded

        token = tokens.decode(proof, key_of)
        compare(token.header, token, access_token, embedded.thumbprint(), jkt)

    return maker, check


def requests_oauth2client():
    from jwskate import Jwk
    from requests_oauth2client import DPoPKey, validate_dpop_proof

    def maker():
        key = DPoPKey.generate("ES256", rs_nonce=NONCE)
        return lambda token: str(key.proof(METHOD, URL, ath(token))), key.dpop_jkt

    def check(proof, access_token, jkt):
        # With `alg="ES256"` it would refuse keys that have no `alg` member.
        checked = validate_dpop_proof(
            proof, htm=METHOD, htu=URL, ath=ath(access_token), nonce=NONCE, leeway=MAX_AGE, algs=["ES256"]
        )
        # It leaves the comparison of `jkt` to its user.
        if Jwk(checked.headers["jwk"]).thumbprint() != jkt:
            raise ValueError("another key")

    return maker, check


PEERS = {
    "PyJWT": pyjwt,
    "joserfc": joserfc,
    "Authlib": authlib,
    "requests_oauth2client": requests_oauth2client,
}


def for_about(seconds, runs):
    """Runs for about that time, or until there are no more. Returns the microseconds per run."""
    start, count = time.perf_counter(), 0
    for run in runs:
        run()
        count += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            break
    return elapsed * 1e6 / count


def measure(runs, milliseconds):
    """Prints the microseconds per run, after a warm-up of half the time."""
    for_about(milliseconds / 2000, runs)
    microseconds = for_about(milliseconds / 1000, runs)
    named = f"{peer} {importlib.metadata.version(peer)}"
    print(json.dumps({"peer": named, "operation": operation, "microseconds": microseconds}))


def each_once(make, check, count):
    """Returns checks of that many proofs, which were made beforehand."""
    return (functools.partial(check, proof) for proof in [make() for _ in range(count)])


def measure_each_once(make, check, milliseconds):
    """Measures the check of proofs that were made beforehand. Each is checked once. A first run estimates how many are needed."""
    microseconds = for_about(float("inf"), each_once(make, check, 200))
    # `measure` runs for one and a half times as long; half as many proofs again are a margin.
    count = int(1.5 * 1.5 * milliseconds * 1000 / microseconds) + 100
    measure(each_once(make, check, count), milliseconds)


def accepts(case):
    try:
        check(case["proof"], case["access_token"], case["jkt"])
    except Exception:  # Any exception means that the proof is refused.
        return False
    return True


peer, operation, milliseconds = sys.argv[1], sys.argv[2], int(sys.argv[3])
maker, check = PEERS[peer]()
if operation == "proof":
    prove, _ = maker()
    measure(itertools.repeat(lambda: prove(ACCESS_TOKEN)), milliseconds)
elif operation == "check":
    prove, jkt = maker()
    measure_each_once(lambda: prove(ACCESS_TOKEN), lambda proof: check(proof, ACCESS_TOKEN, jkt), milliseconds)
elif operation == "print":
    print(maker()[0](ACCESS_TOKEN))
elif operation == "verify":
    for line in sys.stdin:
        print("accepted" if accepts(json.loads(line)) else "refused")
else:
    sys.exit(f"{peer} has no operation {operation}")
