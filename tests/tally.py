"""Adds up meson test logs: prints what failed and the end of what that printed, then
'N passed, N failed[, N skipped]'.

A program on Catch2 counts by its test cases, anything else as one. A test case that says
"skipped: …" (Catch2 2.13 has no better way) does not count as passed. A log that is missing means
that its build broke, and counts as one failure.
"""

import collections
import json
import pathlib
import re
import sys

ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)
LAST_WORDS = 40
SAYS_SKIPPED = re.compile(r"^ *(skipped: .*)$", re.M)
SOME_FAILED = re.compile(r"^test cases:(.*)$", re.M)


def count(test):
    """The outcomes within one run of a test program."""
    output = test.get("stdout") or ""
    cases = collections.Counter()
    if whole := ALL_PASSED.search(output):
        cases["passed"] = int(whole.group(1))
    elif mixed := SOME_FAILED.search(output):
        for number, outcome in re.findall(r"(\d+) (passed|failed|skipped)\b", mixed.group(1)):
            cases[outcome] += int(number)
    if said := min(len(SAYS_SKIPPED.findall(output)), cases["passed"]):
        cases.update(passed=-said, skipped=said)
    if test["result"] == "SKIP":
        cases["skipped"] = max(cases["skipped"], 1)
    elif test["result"] not in ("OK", "EXPECTEDFAIL"):
        cases["failed"] = max(cases["failed"], 1)
    elif not cases:
        cases["passed"] = 1
    return cases


total = collections.Counter()
for log in map(pathlib.Path, sys.argv[1:]):
    if not log.exists():
        print(f"failed: {log} was not written (no build, or no test run)")
        total["failed"] += 1
        continue
    for line in log.read_text(encoding="utf-8").splitlines():
        test = json.loads(line)
        cases = count(test)
        total.update(cases)
        for reason in SAYS_SKIPPED.findall(test.get("stdout") or ""):
            print(f"{test['name']}: {reason}")
        if cases["failed"]:
            print(f"failed: {test['name']} ({test['result'].lower()}), in {log}")
            output = (test.get("stdout") or "") + (test.get("stderr") or "")
            for last_words in output.splitlines()[-LAST_WORDS:]:
                print(f"    {last_words}")
if not total:
    print("failed: no test ran")
    total["failed"] = 1

skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
sys.exit(1 if total["failed"] else 0)
