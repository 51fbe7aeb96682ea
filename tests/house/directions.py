"""Holds the direction of includes between the folders of the library.

The table is the architecture. Do not change it to make a build pass: move the code instead.
"""

import re

import tree

MAY_INCLUDE = {
    "runtime": {"runtime"},
    "channels": {"channels", "runtime"},
    "io": {"io", "runtime"},
    "patterns": {"patterns", "channels", "runtime"},
}
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')

faults = []
for path in tree.code_files(tree.LIBRARY):
    folder = path.parts[0]
    for number, line in tree.code_lines(path):
        include = INCLUDE.match(line)
        if not include:
            continue
        bracket, target = include.groups()
        parts = target.split("/")
        where = f"{path}:{number}"
        if bracket == '"' or parts[0] in tree.FOLDERS:
            faults.append(f"{where}: spell it <sluice/folder/name.hpp>, not {target}")
        elif parts[0] == "sluice" and parts[1] not in MAY_INCLUDE[folder]:
            faults.append(f"{where}: {folder}/ must not include {target}")
tree.report(faults)
