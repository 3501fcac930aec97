"""What is compared, and how to talk to the programs that do it."""

import contextlib
import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
TARGET = ROOT / "target/debug"
POSSESSION = TARGET / "possession"


def node(script, *arguments):
    return ["node", str(HERE / "node" / script), *arguments]


def python(script, *arguments):
    return [str(HERE / "python/.venv/bin/python"), "-B", str(HERE / "python" / script), *arguments]


def rust(program, *arguments):
    return [str(HERE / "rust/target/debug" / program), *arguments]


VERIFIERS = [
    *(
        node("verifiers.mjs", package)
        for package in (
            "oauth4webapi",
            "oidc-provider",
            "@atproto/oauth-provider",
            "@atcute/oauth-crypto",
            "@openid4vc/oauth2",
            "@solid/access-token-verifier",
            "express-oauth2-jwt-bearer",
            "express-oauth2-dpop",
        )
    ),
    *(python("verifiers.py", package) for package in ("requests_oauth2client", "pydpop", "masks-client")),
    *(
        rust("verifiers", package)
        for package in ("huskarl-resource-server", "dpop-verifier", "atproto-oauth", "turbomcp-dpop")
    ),
]
CLIENTS = [
    *(
        node("clients.mjs", package)
        for package in (
            "dpop",
            "oauth4webapi",
            "openid-client",
            "oidc-client-ts",
            "@inrupt/solid-client-authn-core",
            "@atproto/oauth-client",
            "@atcute/oauth-crypto",
            "@openid4vc/oauth2",
        )
    ),
    *(
        python("clients.py", package)
        for package in ("requests_oauth2client", "pydpop", "masks-client", "atproto-oauth", "idpyoidc")
    ),
    *(rust("clients", package) for package in ("huskarl-core", "atproto-oauth", "turbomcp-dpop")),
]


def possession(*arguments, text=None, environment=None):
    """Runs the tool and returns its exit status, standard output and standard error."""
    done = subprocess.run(
        [str(POSSESSION), *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr.strip()


class Program:
    """One that answers a line with a line, until its standard input ends."""

    def __init__(self, command, tokens):
        environment = {**os.environ, "MATRIX_TOKENS": json.dumps(tokens), "NODE_NO_WARNINGS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.command = command
        self.hello = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.command)}: ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.read()


@contextlib.contextmanager
def running(command, tokens):
    program = Program(command, tokens)
    try:
        yield program
    finally:
        program.process.stdin.close()
        try:
            program.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            program.process.kill()


@contextlib.contextmanager
def server(command, tokens=None):
    """Starts a server that prints `READY {json}`, and stops it at the end."""
    environment = {**os.environ, "MATRIX_TOKENS": json.dumps(tokens), "NODE_NO_WARNINGS": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        for line in process.stdout:
            if line.startswith("READY "):
                yield json.loads(line[6:])
                break
        else:
            raise SystemExit(f"{' '.join(command)}: ended with {process.wait()}")
    finally:
        process.kill()
        process.wait()
