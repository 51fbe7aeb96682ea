"""Holds that the code on the pages of docs/patterns is code of the examples they link to, line by line,
and that the programs in the README are the first examples, however their lines are broken."""

import re

import tree

LINK = re.compile(r"\]\(\.\./\.\./(examples/[^)#]+\.cpp)\)")
SNIPPET = re.compile(r"^```cpp\n(.*?)^```", re.M | re.S)


def stripped(text):
    return [line.strip() for line in text.splitlines()]


def contains(lines, part):
    return any(lines[i : i + len(part)] == part for i in range(len(lines) - len(part) + 1))


def words(text):
    return text.partition("// Output:")[0].split()


faults = []
index = tree.text("docs/patterns/README.md")
for page in sorted((tree.ROOT / "docs" / "patterns").glob("*.md")):
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(tree.ROOT)
    examples = [stripped(tree.text(path)) for path in dict.fromkeys(LINK.findall(text))]
    if page.stem != "README":
        if not examples:
            faults.append(f"{name}: links to no example")
        if f"({page.name})" not in index:
            faults.append(f"{name} is not in the README beside it")
    for snippet in SNIPPET.findall(text):
        if not any(contains(lines, stripped(snippet)) for lines in examples):
            faults.append(f"{name}: in no example that it links to:\n{snippet}")
programs = [words(s) for s in SNIPPET.findall(tree.text("README.md")) if "int main()" in s]
for name in ("hello", "select", "echo"):
    if words(tree.text(f"examples/{name}.cpp")) not in programs:
        faults.append(f"README.md: has not the program examples/{name}.cpp")
tree.report(faults)
