"""The source tree as the house checks see it."""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
LIBRARY = ["runtime", "channels", "io", "patterns"]
FOLDERS = LIBRARY + ["examples", "bench", "tests"]
CODE = {".hpp", ".cpp", ".h", ".c"}


def code_files(folders):
    """Yields every code file below the folders, relative to the root."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in CODE and path.is_file():
                yield path.relative_to(ROOT)


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def code_lines(path):
    """Yields (number, line) without comments; string literals stay as they are."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    bare = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text(path), flags=re.S)
    yield from enumerate(bare.splitlines(), start=1)


def report(faults):
    """Prints the faults and ends the check; none is a pass."""
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)
