"""PyPI requests_oauth2client as the client: gets a DPoP-bound token and calls a resource with it.

Usage: client.py TOKEN_ENDPOINT CLIENT_ID ALG RESOURCE URL    (the secret is in the environment: CLIENT_SECRET)

Prints one JSON object: what the token endpoint and the resource answered, and the bodies of the calls.
"""

import json
import os
import sys

import requests
from requests.adapters import HTTPAdapter
from requests_oauth2client import ClientSecretBasic, OAuth2Client


class Recorder(HTTPAdapter):
    """Sees every response, those that the library answers by itself included."""

    def __init__(self):
        super().__init__()
        self.statuses = []

    def send(self, *args, **kwargs):
        response = super().send(*args, **kwargs)
        self.statuses.append(response.status_code)
        return response


def session():
    made, recorder = requests.Session(), Recorder()
    made.mount("http://", recorder)
    return made, recorder.statuses


token_endpoint, client_id, alg, resource, url = sys.argv[1:]
token_session, token_statuses = session()
client = OAuth2Client(
    token_endpoint,
    auth=ClientSecretBasic(client_id, os.environ["CLIENT_SECRET"]),
    session=token_session,
    dpop_bound_access_tokens=True,
    dpop_alg=alg,
    testing=True,  # plain http on loopback
)
token = client.client_credentials(scope="orders:read orders:write", resource=resource)

call_session, call_statuses = session()
calls = [
    call_session.get(url, auth=token),
    call_session.get(url, params={"page": "2 3"}, auth=token),
    call_session.post(url, data="42 bolts", auth=token),
    call_session.get(url, headers={"Authorization": f"Bearer {token.access_token}"}),
]
print(
    json.dumps(
        {
            "token_type": token.token_type,
            "jkt": token.dpop_key.dpop_jkt,
            "token": token_statuses,
            "calls": call_statuses,
            "bodies": [call.json() for call in calls if call.ok],
        }
    )
)
