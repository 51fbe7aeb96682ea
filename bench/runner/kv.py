"""Compares kv with redis-server, and kv with kv that holds many idle connections."""

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import sys

from runner.echo import serving, serving_all
from runner.programs import Failed, output_of, processors
from runner.table import Bar, Table, median, number, ratios, spread

CONNECTIONS = 50
REQUESTS = 10_000  # a slice, of each kind, times the pipeline; short, since the speed drifts
SLICES = 16  # for each repetition
PIPELINES = {1: Bar(1.0), 16: Bar(0.9)}  # kv's requests a second, of redis-server's

ACTIVE, IDLE = 100, 9_900
IDLE_BYTES = Bar(4096, at_most=True)  # of user memory, each
WITH_IDLE = Bar(0.9)  # requests a second, of those without idle connections


def serving_quietly(command, cpus):
    return serving(command, cpus, "--port", stdout=subprocess.DEVNULL)


def load(port, cpus, connections, pipeline=1):
    """Requests a second, by kind."""
    command = ["redis-benchmark", "-p", port, "-t", "set,get", "-n", REQUESTS * pipeline,
               "-c", connections, "-P", pipeline, "-r", 10_000, "--csv"]
    lines = output_of(command, cpus).splitlines()
    rates = {name: float(rate) for name, rate in
             (re.findall(r'"([^"]*)"', line)[:2] for line in lines if '"test"' not in line)}
    if set(rates) != {"SET", "GET"}:
        raise Failed(f"redis-benchmark: {lines}")
    return rates


def compare_kv(build, options):
    if not shutil.which("redis-server"):
        print("no redis-server found: kv is not compared with it", file=sys.stderr)
        return False
    server_cpu, load_cpu = ({cpu} for cpu in sorted(processors(2)))
    servers = {
        "kv": [build / "examples" / "kv"],
        "redis": ["redis-server", "--appendonly", "no", "--save", "", "--loglevel", "warning"],
    }
    table = Table({"kv, 50 connections": 0, "pipeline": 0, "kv/s": 9, "redis/s": 9, "ratio": 0,
                   "spread": 11}, options.bars)
    for pipeline, bar in PIPELINES.items():
        measured = {name: [] for name in servers}
        with serving_all(servers, server_cpu, "--port", stdout=subprocess.DEVNULL) as alive:
            for _ in range(options.repetitions * SLICES):
                for name, (_, port) in alive.items():
                    measured[name].append(load(port, load_cpu, CONNECTIONS, pipeline))
        for kind in ("SET", "GET"):
            kv, redis = ([rates[kind] for rates in measured[name]] for name in servers)
            of_redis = ratios(kv, redis)
            table.row([kind, pipeline, number(median(kv)), number(median(redis)),
                       number(median(of_redis)), spread(of_redis)], (median(of_redis), bar))
    return table.missed


def user_memory(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1))


def compare_idle(build, options):
    """100 busy connections, alone and beside 9,900 that have each had one reply."""
    server_cpu, load_cpu = ({cpu} for cpu in sorted(processors(2)))
    command = [build / "examples" / "kv"]
    alone, beside, bytes_each = [], [], []
    for _ in range(options.repetitions):
        with serving_quietly(command, server_cpu) as (process, port):
            alone.extend(load(port, load_cpu, ACTIVE) for _ in range(SLICES))
        with serving_quietly(command, server_cpu) as (process, port), contextlib.ExitStack() as idle:
            load(port, load_cpu, ACTIVE)  # so that only the idle connections are new below
            before = user_memory(process)
            for _ in range(IDLE):
                connection = idle.enter_context(socket.create_connection(("127.0.0.1", port)))
                connection.sendall(b"PING\r\n")
                if connection.recv(64) != b"+PONG\r\n":
                    raise Failed("kv: no PONG")
            bytes_each.append((user_memory(process) - before) / IDLE)
            beside.extend(load(port, load_cpu, ACTIVE) for _ in range(SLICES))
    table = Table({"kv, 100 connections": 0, "alone": 9, f"beside {IDLE:,} idle": 0, "ratio": 0,
                   "spread": 11}, options.bars)
    for kind in ("SET", "GET"):
        without, with_idle = ([rates[kind] for rates in each] for each in (alone, beside))
        of_alone = ratios(with_idle, without)
        table.row([kind, number(median(without)), number(median(with_idle)),
                   number(median(of_alone)), spread(of_alone)], (median(of_alone), WITH_IDLE))
    each = median(bytes_each)
    table.row(["bytes an idle one", "", number(each), "", ""], (each, IDLE_BYTES))
    return table.missed
