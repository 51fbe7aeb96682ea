"""Compares the workloads with Go's and those of std::thread."""

import json
import sys
import typing

from runner.programs import Failed, figures, output_of, processors
from runner.table import Bar, Table, median, number, ratios, spread

# Each subject with its bar: how many times faster than Go it is to be.
SUBJECTS = {
    "spawn_join": Bar(10),
    "parked_memory": Bar(200, at_most=True),  # bytes, ours
    "yield": Bar(8),
    "spread": Bar(100, at_most=True),  # microseconds, ours
    "ping_pong": Bar(10),
    "spsc": Bar(4),
    "mpmc": Bar(3),
    "mpmc_unbuffered": Bar(10),
    "suite_channel": None,
    "suite_channel_4": None,
    "send_recv": Bar(3),
    "select_2": Bar(3),
    "select_4": Bar(3.5),
    "ping_pong_select": Bar(5),
    "ping_pong_pairs": None,
    "ring": Bar(12),
    "sieve": Bar(5),
    "skynet": Bar(8),
    "mutex": Bar(1.5),
    "mutex_contended": Bar(4),
    "rw_mutex": Bar(1),
    "with_cancel": Bar(3),
    "with_timeout": Bar(5),
    "cancel_children": Bar(3),
    "after_func": Bar(4),
    "context_value": Bar(3),
    "timer_stop": Bar(5),
    "sleep_lateness": Bar(1),
    "arithmetic": None,
    "worker_pool": None,
    "fan_out": Bar(1),
    "pool_jobs": Bar(3),
    "pub_sub": Bar(2),
    "semaphore": Bar(3),
    "sharded_map": Bar(2),
    "sync_map": Bar(2),
}
# How many times faster two workers are to be than one.
SCALING = {"worker_pool": Bar(1.8), "fan_out": Bar(1.8), "ping_pong_pairs": Bar(1.6)}
SECOND_WORKER = Bar(0.9)  # the same for all subjects

NANOSECONDS = "ns", 1
UNITS = {
    "parked_memory": ("bytes", 1),
    "spread": ("us", 1),
    "sleep_lateness": ("us", 1),
    "suite_channel": ("ms", 1e6),
    "suite_channel_4": ("ms", 1e6),
    "sieve": ("ms", 1e6),
    "skynet": ("ms", 1e6),
}  # else nanoseconds
NOT_WITH_THREADS = {"suite_channel", "suite_channel_4", "select_2", "select_4", "ping_pong_select",
                    "skynet", "with_cancel", "with_timeout", "cancel_children", "after_func",
                    "context_value", "timer_stop"}


class Peers:
    """Measures a subject with each peer: ns an operation, or a figure of its own."""

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
        return result.get("figure", result["real_time"])


def measure_in_turn(subject, measurements, repetitions):
    """Gives a list of figures for each measurement, a function and its processors; None where there
    is no figure."""
    _, scale = UNITS.get(subject, NANOSECONDS)
    measured = [[] for _ in measurements]
    for _ in range(repetitions):
        for (measure, cpus), values in zip(measurements, measured):
            try:
                value = measure(subject, cpus)
            except Failed as failure:
                print(failure, file=sys.stderr)
                value = None
            values.append(value and value / scale)
    return measured


class Row(typing.NamedTuple):
    """The figures of all repetitions, None where one failed, and the ratios of those that did not."""

    label: str
    unit: str
    ours: list
    go: list
    threads: list
    faster: list
    faster_than_threads: list
    bar: typing.Optional[Bar]

    def judged(self):
        return median(self.ours if self.bar and self.bar.at_most else self.faster), self.bar


def compare_subjects(subjects, peers, options):
    """Prints the table; gives whether a bar was missed, and the rows."""
    columns = {"workload": 25, "unit": 5, "sluice": 9, "Go": 9, "times faster": 0, "spread": 15,
               "threads": 9}
    table = Table(columns, options.bars)
    rows = []

    def show(row):
        rows.append(row)
        figures = (number(median(v)) for v in (row.ours, row.go, row.faster))
        table.row([row.label, row.unit, *figures, spread(row.faster), number(median(row.threads))],
                  row.judged())

    def compare(label, subject, workers, bar=None):
        cpus = processors(workers)
        measurements = [(peer, cpus) for peer in (peers.sluice, peers.go, peers.threads)]
        ours, go, threads = measure_in_turn(subject, measurements, options.repetitions)
        unit, _ = UNITS.get(subject, NANOSECONDS)
        show(Row(label, unit, ours, go, threads, ratios(go, ours), ratios(threads, ours), bar))
        return ours

    for subject in subjects:
        ours = compare(subject, subject, options.workers, SUBJECTS[subject])
        if subject in SCALING and options.workers == 2:
            scaling = ratios(compare(f"{subject}, 1 worker", subject, 1), ours)
            show(Row("  1 to 2 workers", "times", [], [], [], scaling, [], SCALING[subject]))
    return table.missed, rows


def compare_second_worker(subjects, peers, options):
    """Prints ours with one worker beside ours with two; gives whether a bar was missed."""
    if len(processors(2)) < 2:
        sys.exit("the comparison with one worker needs two processors")
    measurements = [(peers.sluice, processors(workers)) for workers in (1, 2)]
    table = Table({"workload": 25, "unit": 5, "1 worker": 9, "2 workers": 9, "times faster": 0,
                   "spread": 15}, options.bars)
    for subject in subjects:
        bar = SUBJECTS[subject]
        if bar and bar.at_most:
            continue  # its figure is no speed
        one, two = measure_in_turn(subject, measurements, options.repetitions)
        faster = ratios(one, two)
        unit, _ = UNITS.get(subject, NANOSECONDS)
        table.row([subject, unit, number(median(one)), number(median(two)),
                   number(median(faster)), spread(faster)], (median(faster), SECOND_WORKER))
    return table.missed
