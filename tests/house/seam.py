"""Holds that the library reaches atomics, clocks and random choices through the seam only."""

import re

import tree

SEAM = {"runtime/detail/seam.hpp", "runtime/detail/seam.cpp"}
RESERVED = {
    "an atomic": r"\bstd::atomic|\batomic_(thread_fence|ref)\b|<atomic>|\b__(atomic|sync)_\w+",
    "volatile": r"\bvolatile\b",
    "a clock": r"_clock::now\b|\bclock_gettime\b|\b__rdtscp?\b|\b__builtin_ia32_rdtsc",
    "chance": r"<random>|\bstd::(mt19937|random_device|minstd_rand)|\bs?rand\(|\bgetrandom\(",
}

faults = []
for path in tree.code_files(tree.LIBRARY):
    if str(path) in SEAM:
        continue
    for number, line in tree.code_lines(path):
        for what, pattern in RESERVED.items():
            if re.search(pattern, line):
                faults.append(f"{path}:{number}: {what} outside the seam: {line.strip()}")
tree.report(faults)
