"""Compares the TCP echo servers: a server on one processor, its load on another."""

import contextlib
import os
import pathlib
import socket
import sys
import time

from runner.programs import Failed, figures, launch, output_of, processors
from runner.table import Bar, Table, median, number, ratios, spread

RATE, P99 = Bar(0.95), Bar(1.2, at_most=True)  # of raw io_uring
CONNECTIONS = 64, 1000
SLICE, WARM_UP = 0.4, 0.1  # seconds; short, since the machine's speed drifts
SLICES = 10  # for each repetition


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


def await_listener(port):
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise Failed(f"nothing listens on port {port}")


def cpu_seconds(process):
    stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(command, cpus, *option, **streams):
    """Runs a server that takes its port last, after `option`; gives its process and port."""
    port = free_port()
    process = launch([*command, *option, port], cpus, **streams)
    try:
        await_listener(port)
        yield process, port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving_all(servers, cpus, *option, **streams):
    """All alive at once, so that they can be loaded in turn, in short slices."""
    with contextlib.ExitStack() as alive:
        yield {name: alive.enter_context(serving(command, cpus, *option, **streams))
               for name, command in servers.items()}


def load_echo(process, port, load, cpus, connections):
    before, start = cpu_seconds(process), time.monotonic()
    result = figures(output_of([load, port, connections, SLICE, WARM_UP], cpus))
    busy = (cpu_seconds(process) - before) / (time.monotonic() - start)
    return result | {"server_us": 1e6 * busy / result["requests"]}


def compare_echo(build, go, options):
    if len(processors(2)) < 2:
        sys.exit("the echo comparison needs two processors")
    servers = {
        "raw io_uring": [build / "bench" / "raw_uring_echo"],
        "sluice": [build / "bench" / "echo_server"],
        "raw epoll": [build / "bench" / "raw_epoll_echo"],
    }
    if go:
        servers["Go"] = [go, "-echo"]
    columns = {"echo, 64 bytes": 0, "connections": 0, "requests/s": 0, "of raw": 0, "spread": 11,
               "p50 us": 0, "p99 us": 7, "p99 of raw": 0, "server us/request": 0, "load busy %": 0}
    table = Table(columns, options.bars)
    server_cpu, load_cpu = ({cpu} for cpu in sorted(processors(2)))
    load = build / "bench" / "echo_load"
    for connections in CONNECTIONS:
        measured = {name: [] for name in servers}
        with serving_all(servers, server_cpu) as alive:
            for _ in range(options.repetitions * SLICES):
                for name, (process, port) in alive.items():
                    try:
                        result = load_echo(process, port, load, load_cpu, connections)
                    except Failed as failure:
                        print(f"{name}: {failure}", file=sys.stderr)
                        result = {}
                    measured[name].append(result)
        print_echo(table, connections, measured)
    return table.missed


def print_echo(table, connections, measured):
    def column(server, figure):
        return [result.get(figure) for result in measured[server]]

    def of_raw(server, figure):
        return ratios(column(server, figure), column("raw io_uring", figure))

    for server in measured:
        rate, p99 = of_raw(server, "requests"), of_raw(server, "p99")
        requests, p50, p99_us, server_us, load_cpu = (
            number(median(column(server, figure)))
            for figure in ("requests", "p50", "p99", "server_us", "load_cpu")
        )
        bars = [(median(rate), RATE), (median(p99), P99)] if server == "sluice" else []
        table.row([server, connections, requests, number(median(rate)), spread(rate), p50, p99_us,
                   number(median(p99)), server_us, load_cpu], *bars)
