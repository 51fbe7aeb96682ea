"""Runs an example and compares what it prints with the comment that ends its source:

    // Output:
    // first line

    output.py PROGRAM SOURCE [--reports TEXT]   TEXT: instead, it must fail, and say so
"""

import subprocess
import sys

program, source, *report = sys.argv[1:]
ran = subprocess.run([program], capture_output=True, text=True, timeout=60)
if report:
    reported = ran.returncode != 0 and report[1] in ran.stderr
    sys.exit(None if reported else f"it did not report: {report[1]}\n{ran.stderr}")
lines = open(source, encoding="utf-8").read().splitlines()
if "// Output:" not in lines:
    sys.exit(f"{source}: no '// Output:'")
expected = [line[2:].removeprefix(" ") for line in lines[lines.index("// Output:") + 1 :]]
printed = ran.stdout.splitlines()
if ran.returncode != 0 or printed != expected:
    print(f"exit status {ran.returncode}\n{ran.stderr}")
    print("printed:", *printed, "expected:", *expected, sep="\n")
    sys.exit(1)
