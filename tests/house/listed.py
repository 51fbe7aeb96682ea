"""Holds that each code file is named in the meson.build of its folder or of one above it."""

import re

import tree

NAME = re.compile(r"'([^'\n]+)'")

listed = set()
for folder in tree.FOLDERS:
    for build in (tree.ROOT / folder).rglob("meson.build"):
        here = build.parent.relative_to(tree.ROOT)
        listed |= {here / name for name in NAME.findall(build.read_text(encoding="utf-8"))}

# Headers of programs are found by their includes; those of the library are what gets installed.
faults = [
    f"{path} is in no meson.build"
    for path in tree.code_files(tree.FOLDERS)
    if path not in listed and (path.suffix != ".hpp" or path.parts[0] in tree.LIBRARY)
]
tree.report(faults)
