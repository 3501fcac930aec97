"""Runs `possession probe` against every server that runs here."""

import itertools
import json
import time

from programs import TARGET, node, possession, python, server

# Loopback: there is nobody to be polite to.
RATE = ["--rate", "200", "--dangerous-http", "--format", "json"]
RESOURCE_SERVERS = [
    *(node("servers.mjs", package) for package in ("oauth4webapi", "express-oauth2-jwt-bearer", "express-oauth2-dpop")),
    python("servers.py"),
]
# What is published of the servers of other projects: see README.md.
PUBLISHED = {"enforced", "accepted", "too strict", "unclear"}


def version():
    return possession("--version")[1].split()[-1]


def probe(kind, *arguments, environment=None):
    status, out, error = possession("probe", kind, *arguments, *RATE, environment=environment)
    if not out:
        raise SystemExit(f"possession probe {kind} {' '.join(map(str, arguments))}: {status}: {error}")
    return json.loads(out)


def own():
    """Yields name and findings of the examples of this crate. The programs make their own keys and secrets."""
    about = {"registry": "this crate", "version": version(), "own": True}
    examples = TARGET / "examples"
    with server([str(examples / "resource_server"), "--port", "0"]) as ready:
        client = ["--issuer", ready["issuer"], "--client-id", ready["client_id"], "--auth", "client_secret_basic"]
        client += ["--secret-env", "MATRIX_SECRET"]
        secret = {"MATRIX_SECRET": ready["client_secret"]}
        yield {**about, "name": "example authorization_server"}, lambda: probe("as", *client, environment=secret)
        call = ["--call", f"{ready['url']}/orders", "--resource", ready["url"], "--scope", "orders:read"]
        yield {**about, "name": "example resource_server"}, lambda: probe("rs", *call, *client, environment=secret)
    with server([str(examples / "servers")]) as ready:
        client = ["--issuer", ready["issuer"], "--client-id", ready["client_id"], "--auth", "client_secret_basic"]
        client += ["--secret-env", "MATRIX_SECRET"]
        secret = {"MATRIX_SECRET": ready["client_secret"]}
        yield {**about, "name": "example servers"}, lambda: probe("as", *client, environment=secret)


def others(directory, issuer_class):
    """Yields name and findings of servers of other projects."""
    with server(node("../../server.mjs")) as ready:
        client = next(client for client in ready["clients"] if client["client_id"] == "cc-basic")
        arguments = ["--issuer", ready["http"], "--client-id", "cc-basic", "--auth", "client_secret_basic"]
        arguments += ["--secret-env", "MATRIX_SECRET", "--resource", f"{ready['http']}/rs/jwt"]
        secret = {"MATRIX_SECRET": client["client_secret"]}
        about = json.loads((TARGET.parent.parent / "tests/interop/node_modules/oidc-provider/package.json").read_text())
        row = {"registry": "npm", "name": "oidc-provider", "version": about["version"]}
        yield row, lambda: probe("as", *arguments, environment=secret)
    issuer, key = issuer_class(), directory / "probe.pem"
    assert possession("key", "generate", "-o", key)[0] == 0
    token = {"MATRIX_TOKEN": issuer.token(possession("key", "thumbprint", key)[1].strip())}
    for command in RESOURCE_SERVERS:
        with server(command, issuer.description) as ready:
            row = {name: ready[name] for name in ("registry", "name", "version")}
            arguments = ["--call", ready["url"], "--token-env", "MATRIX_TOKEN", "--dpop-key", key]
            yield row, lambda: probe("rs", *arguments, environment=token)


def described(finding):
    """Returns a finding without the exchange; of what needs no explanation only what it is."""
    members = (
        ("id", "verdict")
        if finding["verdict"] in ("enforced", "accepted")
        else ("id", "verdict", "source", "level", "title", "why")
    )
    return {name: finding[name] for name in members if name in finding}


def all_servers(directory, issuer_class, only, withheld):
    """Probes every server and returns a row for each. What is not published goes to the directory `withheld`."""
    found = []
    for about, run in itertools.chain(own(), others(directory, issuer_class)):
        if only and only not in about["name"]:
            continue
        started, report = time.monotonic(), run()
        own_server = about.pop("own", False)
        findings = [finding for finding in report["findings"] if own_server or finding["verdict"] in PUBLISHED]
        rest = [finding for finding in report["findings"] if finding not in findings]
        if withheld and rest:
            withheld.mkdir(parents=True, exist_ok=True)
            file = withheld / f"{about['name'].replace('/', '_')}.json"
            file.write_text(json.dumps({**about, "findings": rest}, indent=1, ensure_ascii=False) + "\n")
        rows = [described(finding) for finding in findings]
        counts = {}
        for finding in report["findings"]:
            counts[finding["verdict"]] = counts.get(finding["verdict"], 0) + 1
        print(
            f"{about['registry']} {about['name']} {about['version']}, {report['kind']}: {counts}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        found.append(
            {
                **about,
                "own": own_server,
                "kind": report["kind"],
                "iat_window_s": report["iat_window_s"],
                "findings": rows,
            }
        )
    return found
