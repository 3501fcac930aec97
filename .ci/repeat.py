#!/usr/bin/env python3
"""Runs the tests many times, several at once, and names those that do not pass every time.

usage: .ci/repeat.py [TIMES [AT_ONCE]] [-- options of cargo test]

A test that fails once in a hundred runs fails in somebody's hands. More processes at once than there are
processors make threads wait at places where they hardly ever wait otherwise.
"""
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

# A program of tests takes less than a minute by itself. In seconds.
TIMEOUT = 1800
FEATURES = ["--features", "cli,json,testing"]


def executables(options):
    """Builds the tests, and returns the paths of their programs."""
    command = ["cargo", "test", "--locked", "--lib", "--tests", "--no-run", "--message-format=json", *options]
    built = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    messages = (json.loads(line) for line in built.splitlines())
    return [message["executable"] for message in messages
            if message.get("profile", {}).get("test") and message.get("executable")]


def run(executable):
    """Runs a program of tests, and returns the tests that failed with what it wrote."""
    environment = {**os.environ, "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run([executable], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", env=environment, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as error:
        return [f"{executable} as a whole"], f"it did not end within {TIMEOUT} s:\n{error.stdout}"
    if done.returncode == 0:
        return [], ""
    return re.findall(r"^test (\S+) .*\.\.\. FAILED$", done.stdout, re.M) or ["(no test is named)"], done.stdout


def main(arguments):
    own, options = arguments, FEATURES
    if "--" in arguments:
        own, options = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
    times, at_once = [int(argument) for argument in own] + [20, 6][len(own):]
    programs = executables(options)
    failures = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        runs = [pool.submit(run, program) for program in programs * times]
        for done in concurrent.futures.as_completed(runs):
            failed, output = done.result()
            failures.update(failed)
            if failed:
                print(output, flush=True)
    for test, count in failures.most_common():
        print(f"{test} failed in {count} of {times} runs")
    if failures:
        sys.exit("some tests do not pass every time")
    print(f"{len(programs)} programs of tests passed {times} times, {at_once} at once")


main(sys.argv[1:])
