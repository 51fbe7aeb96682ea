"""Starts the programs that measure, on chosen processors, and reads what they print."""

import os
import subprocess

LONGEST_RUN = 180  # seconds for any one program


class Failed(Exception):
    """A program ended badly or printed something else than figures."""


def processors(count):
    return set(sorted(os.sched_getaffinity(0))[:count])


def launch(command, cpus, **options):
    """Starts a program on `cpus`, with as many workers."""
    workers = str(len(cpus))
    return subprocess.Popen(
        [str(word) for word in command],
        env=os.environ | {"SLUICE_WORKERS": workers, "GOMAXPROCS": workers},
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        text=True,
        **options,
    )


def output_of(command, cpus):
    with launch(command, cpus, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            output, errors = process.communicate(timeout=LONGEST_RUN)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failed(f"{command[0]}: no end after {LONGEST_RUN} s") from None
    if process.returncode:
        raise Failed(f"{' '.join(map(str, command))}: {errors.strip() or process.returncode}")
    return output


def figures(lines):
    """Reads lines of "name value unit"."""
    return {name: float(value) for name, value, _ in map(str.split, lines.splitlines())}
