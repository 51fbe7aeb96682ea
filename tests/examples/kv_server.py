"""Tests kv as a process: its command line, its limits, its end.

    kv_server.py KV [--sanitized]

A sanitizer keeps freed memory and adds its own, so with --sanitized no memory is measured.
"""

import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

from kv_cases import bulk
from kv_replies import exchange
from server import Server

PROGRAM = sys.argv[1]
SANITIZED = "--sanitized" in sys.argv


def wait_for(condition, patience=10):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def memory(server):
    """Resident memory of the server in bytes."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def read_until(connection, end):
    received = b""
    while not received.endswith(end):
        chunk = connection.recv(1 << 20)
        assert chunk, f"closed after {received[-100:]}"
        received += chunk
    return received


def read_to_end(connection):
    received = b""
    while chunk := connection.recv(1 << 20):
        received += chunk
    return received


def ended(connection):
    """Whether the server closes the connection; whatever it still says is dropped."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True


def blocked_clients(server):
    with server.connect() as asking:
        text = exchange(asking, bulk("INFO", "clients"))
        return int(re.search(rb"blocked_clients:(\d+)", text).group(1))


def command_line(server):
    help_text = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True)
    assert help_text.returncode == 0 and "--port" in help_text.stdout
    for wrong in (["--nonsense"], ["--port"], ["--port", "70000"], ["--workers", "x"]):
        refused = subprocess.run([PROGRAM] + wrong, capture_output=True, text=True)
        assert refused.returncode == 2 and "--help" in refused.stderr, wrong
    same_port = [PROGRAM, "--port", str(server.port)]
    taken = subprocess.run(same_port, capture_output=True, text=True, timeout=10)
    assert taken.returncode == 1 and f"127.0.0.1:{server.port}" in taken.stderr, taken


def info_tells_the_workers_there_are(server):
    with server.connect() as asking:
        workers = re.search(rb"\bworkers:(\d+)", exchange(asking, bulk("INFO", "server")))
    threads = [path.joinpath("comm").read_text() for path in
               pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()]
    spawned = sum(bool(re.match(r"sluice-\d", name)) for name in threads)  # one is the main thread
    assert int(workers.group(1)) == spawned + 1, (workers, threads)


def large_values(server):
    value = bytes(range(256)) * (1 << 18)  # 64 MiB
    with server.connect() as connection:
        assert exchange(connection, bulk("SET", "large", value)) == b"+OK\r\n"
        assert exchange(connection, bulk("GET", "large")) == b"$%d\r\n%s\r\n" % (len(value), value)
        assert exchange(connection, bulk("DEL", "large")) == b":1\r\n"
    wait_for(lambda: SANITIZED or memory(server) < len(value))


def pipelines_longer_than_any_buffer(server):
    with server.connect() as connection:
        requests = b"".join(bulk("INCR", "pipelined") for _ in range(20000))
        expected = b"".join(b":%d\r\n" % i for i in range(1, 20001))
        assert exchange(connection, requests) == expected


def expiry_without_a_reader(server):
    with server.connect() as connection:
        exchange(connection, bulk("FLUSHALL"))
        exchange(connection, bulk("SET", "brief", "x", "PX", 30))
        exchange(connection, bulk("SET", "long", "x", "EX", 100))
        wait_for(lambda: exchange(connection, bulk("DBSIZE")) == b":1\r\n")


def idle_connections_hold_no_buffers(server):
    count = 500
    connections = [server.connect() for _ in range(count)]
    for connection in connections:
        assert exchange(connection, bulk("PING")) == b"+PONG\r\n"
    before = memory(server)
    more = [server.connect() for _ in range(count)]
    for connection in more:
        assert exchange(connection, bulk("PING")) == b"+PONG\r\n"
    assert SANITIZED or memory(server) - before <= 4096 * count
    for connection in connections + more:
        connection.close()


def connections_are_kept_alive(server):
    """The kernel's timer of a connection: 2 is the keepalive's."""
    with server.connect() as connection:
        peer = connection.getsockname()[1]
        line = rf":{server.port:04X} \w+:{peer:04X} 01 \S+ 02:(\w+)"
        table = pathlib.Path("/proc/net/tcp")
        wait_for(lambda: re.search(line, table.read_text()))
        hundredths = int(re.search(line, table.read_text()).group(1), 16)
        assert 290 * 100 < hundredths <= 300 * 100, hundredths


def a_blocked_client_that_leaves(server):
    with server.connect() as writer:
        leaving = server.connect()
        leaving.sendall(bulk("BLPOP", "queue", 0))
        wait_for(lambda: blocked_clients(server) == 1)
        leaving.close()
        wait_for(lambda: blocked_clients(server) == 0)
        assert exchange(writer, bulk("RPUSH", "queue", 1) + bulk("DEL", "queue")) == b":1\r\n:1\r\n"


def many_blocked_clients(server):
    count = 200
    waiting = [server.connect() for _ in range(count)]
    for i, connection in enumerate(waiting):
        connection.sendall(bulk("BLPOP", "nobody", "queue", 0))
        wait_for(lambda: blocked_clients(server) == i + 1)
    with server.connect() as writer:
        exchange(writer, bulk("RPUSH", "queue", *range(count)))
    for i, connection in enumerate(waiting):
        read_until(connection, b"\r\n$%d\r\n%d\r\n" % (len(str(i)), i))
        connection.close()


def a_subscriber_that_never_reads(server):
    slow, quick = server.connect(), server.connect()
    for connection in (slow, quick):
        connection.sendall(bulk("SUBSCRIBE", "news"))
        read_until(connection, b":1\r\n")
    text = b"x" * 1_000_000
    with server.connect() as writer:
        reached = 2
        for _ in range(100):  # far more than sockets and mailbox hold
            reached = int(exchange(writer, bulk("PUBLISH", "news", text))[1:])
            read_until(quick, text + b"\r\n")
            if reached == 1:
                break
        assert reached == 1, "the slow one was never cut"
    assert ended(slow)
    assert exchange(quick, b"", subscribed=True) == b""
    quick.close()


def the_end():
    """SIGTERM answers what has arrived, closes everybody and ends soon."""
    server = Server([PROGRAM, "--port", "0"])
    idle, blocked, half, reader = (server.connect() for _ in range(4))
    blocked.sendall(bulk("BLPOP", "queue", 0))
    half.sendall(b"*2\r\n$3\r\nGET")
    reader.sendall(bulk("SUBSCRIBE", "news"))
    read_until(reader, b":1\r\n")
    wait_for(lambda: blocked_clients(server) == 1)
    busy = server.connect()
    value = b"v" * 30_000_000
    exchange(busy, bulk("SET", "large", value))
    busy.sendall(bulk("GET", "large"))
    busy.recv(1, socket.MSG_PEEK)  # the answer is under way, and more than the socket holds
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for connection in (idle, blocked, half, reader):
        assert ended(connection)
    assert read_until(busy, value + b"\r\n").startswith(b"$30000000\r\n")
    assert ended(busy)
    assert server.process.wait(10) == 0
    assert time.monotonic() - started < 4
    try:
        server.connect()
        raise AssertionError("it still listens")
    except ConnectionRefusedError:
        pass


def the_end_comes_behind_all_that_has_arrived():
    server = Server([PROGRAM, "--port", "0"])
    plain, reader, former, writer = (server.connect() for _ in range(4))
    for connection in (reader, former):
        connection.sendall(bulk("SUBSCRIBE", "news"))
        read_until(connection, b":1\r\n")
    former.sendall(bulk("UNSUBSCRIBE", "news"))
    read_until(former, b":0\r\n")
    server.process.send_signal(signal.SIGSTOP)  # so that it finds all of this at once
    plain.sendall(bulk("SET", "key", "v" * 20) * 5000)
    for connection in (reader, former):
        connection.sendall(bulk("PING"))
    writer.sendall(bulk("PUBLISH", "news", "last"))
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGCONT)
    assert read_to_end(plain) == b"+OK\r\n" * 5000
    assert read_to_end(former) == b"+PONG\r\n"
    assert read_to_end(writer) == b":1\r\n"
    heard = read_to_end(reader)
    assert b"pong" in heard and heard.count(b"$4\r\nlast\r\n") == 1, heard
    assert server.process.wait(10) == 0


def the_end_despite_one_that_never_reads():
    server = Server([PROGRAM, "--port", "0"])
    stuck = server.connect()
    exchange(stuck, bulk("SET", "large", b"v" * 30_000_000))
    stuck.sendall(bulk("GET", "large"))
    stuck.recv(1, socket.MSG_PEEK)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(15) == 0
    stuck.close()


def main():
    server = Server([PROGRAM, "--port", "0"])
    checks = [
        command_line,
        info_tells_the_workers_there_are,
        large_values,
        pipelines_longer_than_any_buffer,
        expiry_without_a_reader,
        idle_connections_hold_no_buffers,
        connections_are_kept_alive,
        a_blocked_client_that_leaves,
        many_blocked_clients,
        a_subscriber_that_never_reads,
    ]
    for check in checks:
        check(server)
        print(f"{check.__name__}: passed", flush=True)
    server.stop()
    for check in (
        the_end,
        the_end_comes_behind_all_that_has_arrived,
        the_end_despite_one_that_never_reads,
    ):
        check()
        print(f"{check.__name__}: passed", flush=True)


if __name__ == "__main__":
    main()
