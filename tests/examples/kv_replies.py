"""Compares kv's replies, byte for byte, with redis-server 7.0's.

    kv_replies.py KV             the server to test
    kv_replies.py KV --record    asks redis-server and writes kv_replies.json beside this file

With a redis-server 7.0 in the path both are asked; without one the recorded replies stand for it.
"""

import hashlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import kv_cases
from server import Server

RECORD = pathlib.Path(__file__).with_suffix(".json")
SENTINEL = b"that-is-all"
ROUNDS = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def redis_server():
    """The reference, or None when this machine has none of the right version."""
    program = shutil.which("redis-server")
    if not program:
        return None
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    if "v=7.0." not in version:
        return None
    port = free_port()
    quiet = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--loglevel", "warning"]
    return Server([program, "--port", str(port)] + quiet, port)


def read_replies(connection, subscribed):
    """Everything up to the answer to our own last word, or to the end of the connection."""
    marks = [b"$%d\r\n%s\r\n" % (len(SENTINEL), SENTINEL)]
    if subscribed:
        marks = [b"*2\r\n$4\r\npong\r\n" + marks[0]] + marks
    received = b""
    while True:
        try:
            chunk = connection.recv(1 << 20)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            return received + b"<closed>"
        received += chunk
        for mark in marks:
            if received.endswith(mark):
                return received[: -len(mark)]


def exchange(connection, request, subscribed=False):
    try:
        connection.sendall(request)
        connection.sendall(kv_cases.bulk("PING", SENTINEL))
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was told off and cut: what it was told is still there to read
    return read_replies(connection, subscribed)


def run_case(server, steps):
    connections = {}
    said = []
    try:
        flush = server.connect()
        exchange(flush, kv_cases.bulk("FLUSHALL"))
        flush.close()
        for who, request, *wait in steps:
            if who not in connections:
                connections[who] = server.connect()
            if wait:
                connections[who].sendall(request)
                time.sleep(0.05)  # until it waits, so that the order of the queue is known
            else:
                said.append(exchange(connections[who], request, subscribed=True).decode("latin-1"))
    finally:
        for connection in connections.values():
            connection.close()
    return said


def all_cases():
    for name, request in kv_cases.ONE_CONNECTION.items():
        yield name, [("a", request)]
    yield from kv_cases.SEVERAL_CONNECTIONS.items()


def replies(server):
    """Every case's replies; of the random traffic the digests only."""
    said = {name: run_case(server, steps) for name, steps in all_cases()}
    for seed in range(ROUNDS):
        traffic = [("a", kv_cases.random_traffic(seed, 500))]
        text = "".join(run_case(server, traffic)).encode("latin-1")
        said[f"random traffic, seed {seed}"] = hashlib.sha256(text).hexdigest()
    for name in ["long value", "many arguments"]:
        said[name] = hashlib.sha256("".join(said[name]).encode("latin-1")).hexdigest()
    return said


def main():
    reference = redis_server()
    if "--record" in sys.argv:
        expected = replies(reference)
        reference.stop()
        RECORD.write_text(json.dumps(expected, indent=1) + "\n")
        return 0
    expected = json.loads(RECORD.read_text())
    faults = 0
    if reference:
        recorded, expected = expected, replies(reference)
        reference.stop()
        for name in sorted(recorded.keys() | expected.keys()):
            if recorded.get(name) != expected.get(name):
                faults += 1
                print(f"{name}: the record is stale (kv_replies.py KV --record)")
    kv = Server([sys.argv[1], "--port", "0"])
    actual = replies(kv)
    kv.stop()
    for name in expected:
        if actual[name] != expected[name]:
            faults += 1
            print(f"{name}:\n  redis {expected[name]}\n  kv    {actual[name]}")
    against = "redis-server" if reference else "the record"
    print(f"{len(expected)} cases, {faults} faults, against {against}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
