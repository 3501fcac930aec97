"""Usage: clients.py PACKAGE. Makes proofs with a package; see ../README.md."""

import sys

from lines import serve, without_query


def requests_oauth2client():
    import functools

    import requests
    from requests_oauth2client import DPoPKey, DPoPToken, OAuth2Client

    key = functools.cache(DPoPKey.generate)

    def token_request(url, made):
        session = requests.Session()
        seen = []
        session.send = lambda prepared, **_: seen.append(prepared) or requests.Response()
        client = OAuth2Client(url, client_id="client", session=session, dpop_bound_access_tokens=True)
        try:
            client.client_credentials(dpop_key=made)
        except Exception:
            if not seen:
                raise
        return seen[0].headers["DPoP"]

    def prove(request):
        made = key(request["alg"])
        if "access_token" not in request:
            return {"proof": token_request(request["url"], made)}
        made.rs_nonce = request.get("nonce")
        token = DPoPToken(access_token=request["access_token"], _dpop_key=made)
        prepared = requests.Request(request["method"], request["url"], auth=token).prepare()
        return {"proof": prepared.headers["DPoP"], "url": prepared.url}

    return {"algs": ["ES256", "ES384", "RS256", "PS256", "EdDSA"]}, prove


def pydpop():
    from pydpop import generate_key, generate_proof

    key = generate_key()

    def prove(request):
        proof = generate_proof(
            private_key=key,
            htm=request["method"],
            htu=request["url"],
            access_token=request.get("access_token"),
            nonce=request.get("nonce"),
        )
        return {"proof": proof}

    return {"algs": ["ES256"]}, prove


def masks_client():
    from masks import Key
    from masks.dpop import proof

    key = Key.generate()

    def prove(request):
        arguments = request.get("access_token") or "", request.get("nonce") or ""
        return {"proof": proof(key, request["method"], request["url"], *arguments)}

    return {"algs": ["ES256"]}, prove


def atproto_oauth():
    from atproto_oauth.dpop import DPoPManager

    manager = DPoPManager()
    key = manager.generate_keypair()

    def prove(request):
        proof = manager.create_proof(
            method=request["method"],
            url=request["url"],
            private_key=key,
            nonce=request.get("nonce"),
            access_token=request.get("access_token"),
        )
        return {"proof": proof}

    return {"algs": ["ES256"]}, prove


def idpyoidc():
    """The header of its add-on for a request to the userinfo endpoint."""
    from cryptojwt.jwk.ec import new_ec_key
    from idpyoidc.client.oauth2.add_on.dpop import dpop_header

    class Context:
        provider_info = {}
        add_on = {"dpop": {"key": new_ec_key("P-256"), "alg": "ES256"}}

    def prove(request):
        made = dpop_header(
            Context,
            "userinfo_endpoint",
            request["method"],
            token=request.get("access_token"),
            nonce=request.get("nonce") or "",
            endpoint_url=without_query(request["url"]),
        )
        return {"proof": made["dpop"]}

    return {"algs": ["ES256"]}, prove


PACKAGES = {
    "requests_oauth2client": requests_oauth2client,
    "pydpop": pydpop,
    "masks-client": masks_client,
    "atproto-oauth": atproto_oauth,
    "idpyoidc": idpyoidc,
}
hello, client = PACKAGES[sys.argv[1]]()
serve(sys.argv[1], {"nonces": True, "tokens": True, **hello}, client)
