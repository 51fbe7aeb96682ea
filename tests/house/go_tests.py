"""Holds that the tests which docs/go-tests.md names exist, in the files and by the titles it says."""

import re

import tree

PAGE = "docs/go-tests.md"
NAMED = re.compile(r'`(\w+/\w+\.cpp)`: "([^"]+)"')
TITLE = re.compile(r'TEST_CASE\(\s*((?:"[^"\n]*"\s*)+)')


def titles(path):
    return {"".join(re.findall(r'"([^"\n]*)"', text)) for text in TITLE.findall(tree.text(path))}


known = {}
faults = []
for name, title in NAMED.findall(tree.text(PAGE)):
    path = f"tests/{name}"
    if path not in known:
        known[path] = titles(path) if (tree.ROOT / path).is_file() else set()
    if title not in known[path]:
        faults.append(f'{PAGE}: no test "{title}" in {path}')
if not known:
    faults.append(f"{PAGE}: names no tests")
tree.report(faults)
