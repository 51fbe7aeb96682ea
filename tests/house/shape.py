"""Holds the shape of files: length, guard, first include, include links, no loose ends."""

import re

import tree

LONGEST = 600
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X|HACK)\b")

faults = []
for path in tree.code_files(tree.FOLDERS + ["include"]):
    lines = tree.text(path).splitlines()
    if len(lines) > LONGEST:
        faults.append(f"{path}: {len(lines)} lines, over {LONGEST}")
    # One that is only precompiled is nobody's to include, and g++ warns of the pragma there.
    precompiled = path.parent.name == "pch"
    if path.suffix == ".hpp" and precompiled == ("#pragma once" in lines):
        faults.append(f"{path}: #pragma once is for the headers that are included, and for all of these")
    faults += [
        f"{path}:{number}: unfinished: {line.strip()}"
        for number, line in enumerate(lines, start=1)
        if UNFINISHED.search(line)
    ]
    header = path.with_suffix(".hpp")
    if path.suffix == ".cpp" and path.parts[0] in tree.LIBRARY and (tree.ROOT / header).exists():
        # So a header that lacks an include of its own is noticed.
        first = next(line for line in lines if line.startswith("#include"))
        if first != f"#include <sluice/{header}>":
            faults.append(f"{path}: does not include {header} first")
for folder in tree.LIBRARY:
    link = tree.ROOT / "include" / "sluice" / folder
    if not link.is_symlink() or link.resolve() != (tree.ROOT / folder).resolve():
        faults.append(f"include/sluice/{folder} is not a link to {folder}/")
tree.report(faults)
