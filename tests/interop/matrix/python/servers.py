"""Usage: servers.py. A protected resource on loopback whose tokens and proofs PyPI masks-client verifies.

Prints one line "READY {json}" (name, version, url) and runs until it is stopped. It adds nothing to what the package does.
"""

import http.server
import importlib.metadata
import json

import httpx
from masks import Issuer, Metadata, Verifier

from lines import TOKENS

issuer = TOKENS["issuer"]
keys = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=TOKENS["jwks"])))
verifier = Verifier(
    Issuer(issuer, Metadata.from_dict({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"})), TOKENS["audience"], http=keys
)


class Resource(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            verifier.authenticate(self.command, f"http://{self.headers['Host']}{self.path}", list(self.headers.items()))
            status, challenge, body = 200, None, b"[]"
        except Exception as error:
            status, challenge, body = 401, f'DPoP error="invalid_token", error_description="{error}"', b""
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Resource)
about = {"name": "masks-client", "registry": "PyPI", "version": importlib.metadata.version("masks-client")}
print("READY " + json.dumps({**about, "url": f"http://127.0.0.1:{server.server_port}/orders"}), flush=True)
server.serve_forever()
