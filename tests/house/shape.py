"""Holds the shape of files: their length, the guard of headers, the include links, no loose ends."""

import re

import tree

LONGEST = 600
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X|HACK)\b")

faults = []
for path in tree.code_files(tree.FOLDERS + ["include"]):
    lines = tree.text(path).splitlines()
    if len(lines) > LONGEST:
        faults.append(f"{path}: {len(lines)} lines, over {LONGEST}")
    if path.suffix == ".hpp" and "#pragma once" not in lines:
        faults.append(f"{path}: no #pragma once")
    faults += [
        f"{path}:{number}: unfinished: {line.strip()}"
        for number, line in enumerate(lines, start=1)
        if UNFINISHED.search(line)
    ]
for folder in tree.LIBRARY:
    link = tree.ROOT / "include" / "sluice" / folder
    if not link.is_symlink() or link.resolve() != (tree.ROOT / folder).resolve():
        faults.append(f"include/sluice/{folder} is not a link to {folder}/")
tree.report(faults)
