#!/usr/bin/env python3
"""Finds comments of Rust sources with more than 110 columns, which rustfmt does not shorten. Code in them,
tables and what cannot be broken may be longer."""
import pathlib
import re
import subprocess
import sys

MAX = 110


def too_long(text):
    """Returns the numbers of the lines."""
    is_code = False
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r'\s*#!?\[.*doc = "```', line)
        comment = re.match(r"\s*//[/!]? ?(.*)", line)
        if opened:
            is_code = True
        elif not comment:
            is_code = False
        elif comment[1].startswith("```"):
            is_code = not is_code
        elif len(line) > MAX and not is_code and not comment[1].startswith("|") and " " in comment[1]:
            yield number


files = subprocess.run(["git", "ls-files", "*.rs"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
found = [f"{file}:{number}" for file in files for number in too_long(pathlib.Path(file).read_text())]
if found:
    sys.exit(f"comments with more than {MAX} columns: {', '.join(found)}")
