#!/usr/bin/env python3
"""Probes the example servers: `possession probe` must find that they enforce everything. Runs the command lines that they
print.

tests/cli probes the servers that run in its own process. These are programs of their own.
"""
import json
import os
import subprocess
import sys

CARGO = ["cargo", "run", "--locked", "--quiet"]
POSSESSION = [*CARGO, "--features", "cli", "--bin", "possession", "--"]
# What needs something that these servers do not have: see tests/cli/probe/our_servers.rs.
NOT_TESTED = {
    "rs": {"cors-expose", "cors-preflight", "htu-default-port", "replay-other-node"},
    "as": {"code-other-key", "cors-expose", "cors-preflight", "htu-default-port", "refresh-other-key", "par-invalid-proof",
           "par-other-jkt"},
}


def start(name, *options):
    """Starts an example on a free port, and returns its process and what it says of itself."""
    command = [*CARGO, "--example", name, "--", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith("READY "):
            return process, json.loads(line.removeprefix("READY "))
    sys.exit(f"{name} ended with status {process.wait()}")


def probe(name, kind, ready, *options, also_not_tested=()):
    """Probes a server, and ends the program unless everything is enforced."""
    client = ["--client-id", ready["client_id"], "--auth", "client_secret_basic", "--secret-env", "SECRET"]
    common = ["--issuer", ready["issuer"], "--dangerous-http", "--rate", "1000", "--format", "json"]
    environment = {**os.environ, "SECRET": ready["client_secret"]}
    ran = subprocess.run([*POSSESSION, "probe", kind, *options, *client, *common], env=environment,
                         stdout=subprocess.PIPE, text=True)
    found = json.loads(ran.stdout)["findings"]
    wrong = [f'{finding["id"]}: {finding["verdict"]} {finding.get("why", "")}' for finding in found
             if finding["verdict"] not in ("enforced", "accepted", "not tested")]
    not_tested = {finding["id"] for finding in found if finding["verdict"] == "not tested"}
    expected = NOT_TESTED[kind] | set(also_not_tested)
    if ran.returncode or wrong or not_tested != expected:
        sys.exit(f"{name}: exit status {ran.returncode}, {wrong}, not tested {sorted(not_tested ^ expected)}")
    print(f"{name}: probe {kind}: {len(found) - len(not_tested)} cases")


def run_token_commands(name, process, last):
    """Runs the commands with `possession token` that an example prints, up to the line that contains `last`."""
    text = ""
    for line in process.stdout:
        text += line
        if last in line:
            break
    commands = [line.strip() for line in text.replace("\\\n", "").splitlines() if "-- token " in line]
    if not commands:
        sys.exit(f"{name} prints no command that gets a token")
    for command in commands:
        ran = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        summary = json.loads(ran.stdout or "{}")
        if ran.returncode or summary.get("call_status") not in (None, 200, 201):
            sys.exit(f"{name}: {command}: {ran.stdout}{ran.stderr}")
    print(f"{name}: {len(commands)} commands that it prints")


def main():
    name = "authorization_server"
    process, ready = start(name)
    run_token_commands(name, process, "/introspect")
    probe(name, "as", ready)
    process.terminate()
    for options in [], ["--introspect"]:
        name = " ".join(["resource_server", *options])
        process, ready = start("resource_server", *options)
        run_token_commands(name, process, "--method POST")
        resource = ["--resource", ready["url"], "--scope", "orders:read"]
        probe(name, "rs", ready, "--call", ready["url"] + "/orders", *resource)
        # With introspection, tokens are opaque.
        probe(name, "as", ready, *resource, also_not_tested=["token-bound"] if options else [])
        process.terminate()


main()
