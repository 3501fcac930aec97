"""Proofs of this crate at other verifiers, proofs of other clients at this crate's, and probes of servers.

    run [--only TEXT] [--withheld DIR]        README.md says what it does and what is not published

Writes results.json, docs/agreement.md and docs/agreement.svg (not with --only).
"""

import argparse
import base64
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import uuid

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import probes
import render
from cases import ALGORITHMS, NO_URIS, cases
from programs import CLIENTS, HERE, ROOT, VERIFIERS, possession, running

ISSUER, AUDIENCE, WEBID = "https://as.example.com", "https://api.example.com", "https://ann.example/card#me"
NONCE = "eyJ7S_zG.eyJH0-Z.HX4w-7v"
# The token that clients are given: nobody looks into it.
OPAQUE = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"


class Issuer:
    """Makes access tokens: JWTs (RFC 9068) that also have what Solid asks for."""

    def __init__(self, issuer=ISSUER, audience=AUDIENCE):
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        jwk = {**public, "kid": "1", "alg": "ES256", "use": "sig"}
        self.description = {"issuer": issuer, "audience": audience, "jwks": {"keys": [jwk]}}

    def token(self, jkt):
        now = int(time.time())
        claims = {"iss": self.description["issuer"], "aud": [self.description["audience"], "solid"], "sub": "ann"}
        claims |= {"client_id": "client", "webid": WEBID, "scope": "openid webid", "jti": str(uuid.uuid4())}
        claims |= {"iat": now, "exp": now + 3600, "cnf": {"jkt": jkt}}
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"typ": "at+jwt", "kid": "1"})


class Keys:
    """A key for each algorithm, in a file for the tool, and an access token that is bound to it."""

    def __init__(self, directory, issuer):
        self.files, self.jkts, self.tokens = {}, {}, {}
        for alg in ALGORITHMS:
            file = directory / f"{alg}.pem"
            if alg[:2] in ("RS", "PS"):
                private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
                pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                file.write_bytes(private.private_bytes(*pem))
            else:
                made = possession("key", "generate", "--alg", "Ed25519" if alg == "EdDSA" else alg, "-o", file)
                assert made[0] == 0, made
            self.files[alg] = file
            self.jkts[alg] = possession("key", "thumbprint", file)[1].strip()
            self.tokens[alg] = issuer.token(self.jkts[alg])


def decoded(proof):
    """Returns the header and the claims of a proof."""
    parts = proof.split(".")[:2]
    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts]


def own_proof(case, keys, nonce):
    """Returns a proof of this crate and the URL of its request as it is sent, or why there is none."""
    alg = case["alg"]
    arguments = ["proof", case["method"], case["url"], "--key", keys.files[alg], "--alg", alg]
    arguments += ["--nonce", nonce] if nonce else []
    arguments += ["--token-env", "MATRIX_TOKEN"] if case["token"] else []
    status, proof, error = possession(*arguments, environment={"MATRIX_TOKEN": keys.tokens[alg]})
    if status:
        return None, None, error
    # The server receives exactly the URL that htu names, and the query.
    _, claims = decoded(proof)
    query = case["url"].partition("?")
    return proof.strip(), claims["htu"] + query[1] + query[2], None


def at_verifier(case, verifier, keys):
    """Sends a proof of this crate to a verifier and returns what came of it."""
    hello, alg = verifier.hello, case["alg"]
    if alg not in hello["algs"]:
        return {"outcome": "not supported", "message": f"it does not know {alg}"}
    if case["nonce"] and not hello["nonces"]:
        return {"outcome": "not supported", "message": "it has no nonces"}
    if not case["token"] and hello.get("resources_only"):
        return {"outcome": "not supported", "message": "it is for resource servers"}
    token = {"access_token": keys.tokens[alg]} if case["token"] else {}
    nonce = None
    if case["nonce"] or hello.get("always_nonce"):
        proof, url, _ = own_proof(case, keys, None)
        if proof:
            nonce = verifier.ask(op="nonce", method=case["method"], url=url, proof=proof, alg=alg, **token)["nonce"]
    proof, url, refused = own_proof(case, keys, nonce)
    if not proof:
        return {"outcome": "not made", "message": refused}
    request = {"method": case["method"], "url": url, "proof": proof, "alg": alg, "jkt": keys.jkts[alg], **token}
    answer = verifier.ask(op="verify", **request, **({"nonce": nonce} if nonce else {}))
    return answer if answer["outcome"] == "accepted" else {**answer, "sent": sent(proof)}


def sent(proof):
    """Returns the members of a proof that matter to a reader: not the key, the signature and what is random."""
    header, claims = decoded(proof)
    shown = {"alg": header.get("alg"), "htm": claims.get("htm"), "htu": claims.get("htu")}
    return {name: value if len(str(value)) < 120 else str(value)[:80] + "…" for name, value in shown.items()}


def from_client(case, client, token, directory):
    """Has a client make a proof, verifies it with this crate and returns what came of it."""
    hello, alg = client.hello, case["alg"]
    if alg not in hello["algs"]:
        return {"outcome": "not supported", "message": f"it does not make {alg}"}
    if case["nonce"] and not hello["nonces"]:
        return {"outcome": "not supported", "message": "it has no nonces"}
    with_token = case["token"] and hello.get("tokens", True)
    request = {"method": case["method"], "url": case["url"], "alg": alg}
    request |= {"access_token": token} if with_token else {}
    request |= {"nonce": NONCE} if case["nonce"] else {}
    answer = client.ask(op="prove", **request)
    if not answer.get("proof"):
        return {"outcome": "not made", "message": answer.get("error", "there is no proof")}
    proof, url = answer["proof"], answer.get("url") or case["url"]
    if case["id"] in NO_URIS and "url" not in answer:
        return {"outcome": "not supported", "message": "it sends no request, and takes the URI as it is given"}
    method = answer.get("method") or case["method"]
    context = {"method": method, "url": url, "now": int(time.time()), "max_age_s": 300, "future_skew_s": 10}
    context |= {"algs": ALGORITHMS}
    context |= {"access_token": token} if with_token else {}
    context |= {"nonces": [NONCE]} if case["nonce"] else {}
    row = {"id": "proof", "proof": proof, "context": context, "expect": "accept"}
    file = directory / "proof.json"
    file.write_text(json.dumps({"version": "1.0.0", "source": hello["name"], "kind": "proof", "cases": [row]}))
    verdict = json.loads(possession("vectors", file, "--format", "json")[1])["cases"][0]
    if verdict["outcome"] == "passed":
        return {"outcome": "accepted"}
    return {
        "outcome": "refused",
        "message": explained(proof, context, directory) or verdict["why"],
        "sent": sent(proof),
    }


def explained(proof, context, directory):
    """Returns which checks of RFC 9449 §4.3 do not hold, and why not."""
    file = directory / "proof.txt"
    file.write_text(proof)
    arguments = ["explain", file, "--format", "json", "--method", context["method"], "--url", context["url"]]
    arguments += ["--nonce", context["nonces"][0]] if "nonces" in context else []
    arguments += ["--token-env", "MATRIX_TOKEN"] if "access_token" in context else []
    _, out, _ = possession(*arguments, environment={"MATRIX_TOKEN": context.get("access_token", "")})
    checks = json.loads(out).get("checks", []) if out else []
    return "; ".join(f"check {check['check']}: {check['why']}" for check in checks if check["holds"] is False)


def compared(commands, tokens, only, ask):
    """Runs every case with every program and returns a row for each program."""
    found = []
    for command in commands:
        if only and only not in command[-1]:
            continue
        with running(command, tokens) as program:
            results = {case["id"]: ask(case, program) for case in cases()}
        hello = program.hello
        outcomes = [result["outcome"] for result in results.values()]
        counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
        print(f"{hello['registry']} {hello['name']} {hello['version']}: {counts}", flush=True)
        about = {name: hello[name] for name in ("registry", "name", "version")}
        found.append({**about, "results": results})
    return found


def changed(known, seen):
    """Prints which outcomes are not the published ones, and returns the exit status. Of servers, only our own are looked at."""
    differences = passed = 0
    for half in ("verifiers", "clients"):
        outcomes = {row["registry"] + " " + row["name"]: row["results"] for row in known[half]}
        for row in seen[half]:
            before = outcomes.get(row["registry"] + " " + row["name"], {})
            for id, result in row["results"].items():
                was, now = before.get(id, {}).get("outcome", "not published"), result["outcome"]
                passed += was == now
                if was != now:
                    differences += 1
                    print(f"{row['name']}, {id}: {now}, and results.json has {was}")
    for row in seen["servers"]:
        wrong = [
            finding
            for finding in row["findings"]
            if row["own"] and finding["verdict"] in ("NOT ENFORCED", "too strict")
        ]
        differences, passed = differences + len(wrong), passed + len(row["findings"]) - len(wrong)
        for finding in wrong:
            print(f"{row['name']}, {finding['id']}: {finding['verdict']}")
    print(f"{passed} passed, {differences} failed")
    return 1 if differences or not passed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", metavar="TEXT", help="only packages and servers with this text in their name; writes no file"
    )
    parser.add_argument(
        "--withheld",
        metavar="DIR",
        type=pathlib.Path,
        help="write what probes of other projects' servers found, which is not published, to this directory",
    )
    parser.add_argument(
        "--check", action="store_true", help="write no file, and fail if an outcome is not that of results.json"
    )
    parser.add_argument(
        "--render", action="store_true", help="run nothing, and make the page and the picture of results.json"
    )
    arguments = parser.parse_args()
    results_file = HERE / "results.json"
    if not arguments.render:
        with tempfile.TemporaryDirectory() as temporary:
            directory, issuer = pathlib.Path(temporary), Issuer()
            keys, tokens = Keys(directory, issuer), issuer.description
            commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
            results = {
                "date": datetime.date.today().isoformat(),
                "possession": possession("--version")[1].split()[-1],
                "commit": commit.stdout.strip(),
                "cases": cases(),
                "verifiers": compared(
                    VERIFIERS, tokens, arguments.only, lambda case, program: at_verifier(case, program, keys)
                ),
                "clients": compared(
                    CLIENTS, tokens, arguments.only, lambda case, program: from_client(case, program, OPAQUE, directory)
                ),
                "servers": probes.all_servers(directory, Issuer, arguments.only, arguments.withheld),
            }
        if arguments.check:
            return changed(json.loads(results_file.read_text()), results)
        if arguments.only:
            return 0
        results_file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    render.write(json.loads(results_file.read_text()), ROOT / "docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
