"""Describes the machine on which figures are measured."""

import os
import pathlib
import platform


def machine():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or "model unknown"
    return f"{os.cpu_count()} vCPU {platform.machine()} ({model})"
