"""Applies deliberate faults to a copy of the tree, one by one, and shows that the tests notice each.

A fault is caught when one of its tests fails, ends by a signal, or does not end in time. One that
does not build, or whose text is not in its file exactly once, is an error of the list. Prints a line
for each and 'N passed, M failed'; exits with 1 if any was missed.
"""

import argparse
import pathlib
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 300  # for a test of the sound tree
BUILD = ["-Dtests=true", "-Doptimization=1", "-Ddebug=false", "-Db_ndebug=false",
         "-Ddefault_library=static", "--buildtype=custom"]


class Bad(Exception):
    """The list does not fit the tree."""


def copy_tree(to):
    """Makes `to` hold the tracked files as they are now, touching only those that differ."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True,
                           text=True).stdout.split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.unlink(missing_ok=True)
            target.symlink_to(source.readlink())
        elif not target.exists() or target.read_bytes() != source.read_bytes():
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def ninja(build, suites):
    return subprocess.run(["ninja", "-C", build, *(f"tests/test_{suite}" for suite in suites)],
                          capture_output=True, text=True)


def notices(build, test, seconds):
    """Whether the test fails, in which way; None if it passes."""
    suite, name = test.split("/")
    try:
        run = subprocess.run([build / "tests" / f"test_{suite}", f"[#{name}]"],
                             capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"{test} does not end"
    if run.returncode == 0:
        return None
    return f"{test} fails" if run.returncode > 0 else f"{test} ends by signal {-run.returncode}"


def suites_of(mutant):
    return sorted({test.split("/")[0] for test in mutant["tests"]})


def apply(mutant, copy, build, limits):
    """Gives how the fault was noticed, or None."""
    path = copy / mutant["file"]
    sound = path.read_text()
    if sound.count(mutant["old"]) != 1:
        raise Bad(f"the text is {sound.count(mutant['old'])} times in {mutant['file']}")
    path.write_text(sound.replace(mutant["old"], mutant["new"]))
    try:
        built = ninja(build, suites_of(mutant))
        if built.returncode != 0:
            raise Bad("it does not build:\n" + built.stdout[-2000:])
        return next(filter(None, (notices(build, test, limits[test])
                                  for test in mutant["tests"])), None)
    finally:
        path.write_text(sound)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only the faults whose text has one of these")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-mutants")
    options = parser.parse_args()
    mutants = tomllib.loads((pathlib.Path(__file__).parent / "list.toml").read_text())["mutant"]
    if options.words:
        mutants = [m for m in mutants if any(word in m["fault"] for word in options.words)]
    copy, build = (options.build.resolve() / name for name in ("tree", "build"))
    copy_tree(copy)
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", build, copy, *BUILD], check=True)
    suites = sorted({suite for mutant in mutants for suite in suites_of(mutant)})
    sound = ninja(build, suites)
    if sound.returncode != 0:
        sys.exit("the sound tree does not build:\n" + sound.stdout[-4000:])
    missed = 0
    limits = {}  # seconds, by test: several times what it takes without a fault
    for test in sorted({test for mutant in mutants for test in mutant["tests"]}):
        start = time.monotonic()
        if how := notices(build, test, SECONDS):
            print(f"without any fault {how}")
            missed += 1
        limits[test] = 10 + 5 * (time.monotonic() - start)
    for mutant in mutants:
        start = time.monotonic()
        try:
            how = apply(mutant, copy, build, limits)
        except Bad as bad:
            how = None
            print(bad)
        missed += how is None
        print(f"{'caught' if how else 'MISSED'}  {mutant['fault']}: {how or 'nobody noticed'}"
              f" ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{max(len(mutants) - missed, 0)} passed, {missed} failed")
    return 1 if missed else 0


sys.exit(main())
