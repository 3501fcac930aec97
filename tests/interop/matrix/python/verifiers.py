"""Usage: verifiers.py PACKAGE. Verifies proofs with a package; see ../README.md."""

import sys

from lines import TOKENS, serve, without_query

EVERY = ["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]


def bound(request, jkt):
    if request.get("access_token") and request["jkt"] != jkt:
        raise ValueError("the token is bound to another key")


def requests_oauth2client():
    import base64
    import hashlib

    import jwskate
    from requests_oauth2client import validate_dpop_proof

    def verify(request):
        token = request.get("access_token")
        ath = token and base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
        validated = validate_dpop_proof(
            request["proof"],
            htm=request["method"],
            htu=without_query(request["url"]),
            ath=ath,
            nonce=request.get("nonce"),
            algs=[request["alg"]],
        )
        bound(request, jwskate.Jwk(validated.headers["jwk"]).thumbprint())

    return {"algs": EVERY, "nonces": True}, verify


def pydpop():
    from pydpop import verify_proof

    def verify(request):
        verified = verify_proof(
            proof=request["proof"],
            htm=request["method"],
            htu=request["url"],
            access_token=request.get("access_token"),
            expected_nonce=request.get("nonce"),
        )
        bound(request, verified["jwk_thumbprint"])

    return {"algs": ["ES256"], "nonces": True}, verify


def masks_client():
    """Its verifier fetches the keys of the issuer, here from a transport in this process."""
    import httpx
    from masks import Issuer, Metadata, Verifier

    issuer = TOKENS["issuer"]
    keys = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=TOKENS["jwks"])))
    metadata = Metadata.from_dict({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"})
    verifier = Verifier(Issuer(issuer, metadata), TOKENS["audience"], http=keys)

    def verify(request):
        headers = {"Authorization": f"DPoP {request['access_token']}", "DPoP": request["proof"]}
        verifier.authenticate(request["method"], request["url"], headers)

    # The algorithms of masks.verifier.PROOF_ALGORITHMS.
    algs = ["ES256", "ES384", "PS256", "PS384", "PS512", "RS256"]
    return {"algs": algs, "nonces": False, "resources_only": True}, verify


PACKAGES = {"requests_oauth2client": requests_oauth2client, "pydpop": pydpop, "masks-client": masks_client}
hello, verifier = PACKAGES[sys.argv[1]]()


def accepted(request):
    verifier(request)
    return {"outcome": "accepted"}


serve(sys.argv[1], hello, accepted)
