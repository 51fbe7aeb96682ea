"""Compares the workloads with Go's and those of std::thread."""

import json
import sys

from runner.programs import Failed, figures, output_of, processors
from runner.table import Bar, Table, median, number, ratios, spread

# Each subject with its bar on how many times faster than Go it is.
SUBJECTS = {
    "spawn_join": Bar(6),
    "parked_memory": None,
    "yield": Bar(6),
    "ping_pong": Bar(6),
    "spsc": Bar(2),
    "mpmc": Bar(2),
    "mpmc_unbuffered": None,
    "send_recv": Bar(1.8),
    "select_2": None,
    "select_4": None,
    "ping_pong_select": None,
    "ring": None,
    "sieve": None,
    "skynet": Bar(6),
    "mutex": None,
    "mutex_contended": None,
    "with_cancel": None,
    "with_timeout": Bar(2),
    "timer_stop": Bar(2),
    "arithmetic": None,
    "worker_pool": None,
    "pool_jobs": Bar(3),
    "pub_sub": Bar(2),
    "semaphore": Bar(3),
    "sharded_map": Bar(2),
    "sync_map": Bar(2),
}
PARKED_BYTES = Bar(250, at_most=True)
POOL_SCALING = Bar(1.7)

UNITS = {"parked_memory": ("bytes", 1), "sieve": ("ms", 1e6), "skynet": ("ms", 1e6)}  # else ns
NOT_WITH_THREADS = {"select_2", "select_4", "ping_pong_select", "skynet", "with_cancel",
                    "with_timeout", "timer_stop"}


class Peers:
    """Measures a subject with each peer: ns an operation, or bytes."""

    def __init__(self, build, go, min_time):
        self.program = build / "bench" / "sluice_bench"
        self.go_program = go
        self.min_time = min_time

    def sluice(self, subject, cpus):
        return self._google_benchmark(subject + "/sluice", cpus)

    def threads(self, subject, cpus):
        if subject in NOT_WITH_THREADS:
            return None
        return self._google_benchmark(subject + "/threads", cpus)

    def go(self, subject, cpus):
        if not self.go_program:
            return None
        command = [self.go_program, f"-min-time={self.min_time}s", subject]
        return figures(output_of(command, cpus))[subject]

    def _google_benchmark(self, name, cpus):
        command = [
            self.program,
            f"--benchmark_filter=^{name}(/|$)",
            f"--benchmark_min_time={self.min_time}",
            "--benchmark_format=json",
        ]
        (result,) = json.loads(output_of(command, cpus))["benchmarks"]
        if result.get("error_occurred"):
            raise Failed(f"{name}: {result['error_message']}")
        return result.get("bytes", result["real_time"])


def measure_in_turn(peers, subject, cpus, repetitions):
    """Gives a list of figures for each peer, None where there is none."""
    measured = {"sluice": [], "go": [], "threads": []}
    for _ in range(repetitions):
        for peer, values in measured.items():
            try:
                values.append(getattr(peers, peer)(subject, cpus))
            except Failed as failure:
                print(failure, file=sys.stderr)
                values.append(None)
    return measured


def compare_subjects(subjects, peers, options):
    columns = {"workload": 21, "unit": 5, "sluice": 9, "Go": 9, "times faster": 0, "spread": 15,
               "threads": 9}
    table = Table(columns, options.bars)

    def compare(label, subject, workers):
        measured = measure_in_turn(peers, subject, processors(workers), options.repetitions)
        unit, scale = UNITS.get(subject, ("ns", 1))
        ours, go, threads = ([v and v / scale for v in values] for values in measured.values())
        faster = ratios(go, ours)
        bar = (median(faster), SUBJECTS[subject])
        if subject == "parked_memory":
            bar = (median(ours), PARKED_BYTES)
        table.row([label, unit, *(number(median(v)) for v in (ours, go, faster)), spread(faster),
                   number(median(threads))], bar)
        return ours

    for subject in subjects:
        ours = compare(subject, subject, options.workers)
        if subject == "worker_pool" and options.workers == 2:
            scaling = ratios(compare("worker_pool, 1 worker", subject, 1), ours)
            table.row(["  1 to 2 workers", "times", number(median(scaling)), "", "",
                       spread(scaling), ""], (median(scaling), POOL_SCALING))
    return table.missed
