"""Starts the daemon, loads it, sends SIGTERM under load, and counts: again and again.

    daemon_rounds.py PROGRAM [--rounds N] [--seed S]

Each round must end with status 0, each connection that the daemon accepted must have its whole
reply, each job that a reply tells of must be done, and nothing may be cut. In the last one a crowd
asks for more than can be done in the time that the daemon leaves for it: the rest is cut, and must
be told so.
"""

import argparse
import contextlib
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

CLIENTS = 8
CROWD = 6_500  # requests; a job takes a millisecond, and the daemon leaves 5,000
PATIENCE = 30  # seconds until something hangs


class Client(threading.Thread):
    """Sends one request after another, a connection each, until nobody listens any more."""

    def __init__(self, number, port, random_source):
        super().__init__()
        self.number, self.port, self.random = number, port, random_source
        self.queued = self.refused = self.reset = 0
        self.faults = []

    def run(self):
        count = 0
        while not self.faults:
            count += 1
            line = f"{self.number}.{count}"
            try:
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as server:
                    self.request(server, line)
            except ConnectionRefusedError:
                return
            except (ConnectionError, BrokenPipeError):
                self.reset += 1  # it waited in the backlog, never accepted: see the sums
            except TimeoutError:
                self.faults.append(f"{line}: no reply")

    def request(self, server, line):
        if self.random.random() < 0.3:  # in two halves
            server.sendall(line[:1].encode())
            time.sleep(self.random.random() * 0.003)
            server.sendall((line[1:] + "\n").encode())
        else:
            server.sendall((line + "\n").encode())
        self.take_reply(server, line)

    def take_reply(self, server, line):
        reply = b""
        while part := server.recv(4096):
            reply += part
        if reply == f"queued {line}\n".encode():
            self.queued += 1
        elif reply == f"refused {line}\n".encode():
            self.refused += 1
        elif reply:
            self.faults.append(f"{line}: the reply is {reply!r}")
        else:
            self.faults.append(f"{line}: closed without a reply")


def start(program):
    """Gives the daemon and its port."""
    daemon = subprocess.Popen(
        [program, "--serve", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    serving = daemon.stderr.readline()
    if not serving.startswith("serving 127.0.0.1:"):
        daemon.kill()
        sys.exit(f"it said: {serving}")
    return daemon, int(serving.rsplit(":", 1)[1])


def end_faults(daemon, output, errors, expected):
    if daemon.returncode == 0 and output == expected:
        return []
    return [
        f"exit status {daemon.returncode}, it printed\n{output}{errors}\n"
        f"but the clients expected\n{expected}"
    ]


def summary(queued, refused):
    """The last line of a daemon that has replied so."""
    replies = queued + refused
    return (
        f"{replies} accepted, {replies} answered, {queued} jobs done, "
        "ended by SIGTERM (Terminated)\n"
    )


def one_round(program, random_source):
    """Gives what was wrong, the number of replies, and that of connections left in the backlog."""
    daemon, port = start(program)
    try:
        clients = [
            Client(i, port, random.Random(random_source.random())) for i in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        time.sleep(random_source.random() * 0.06)
        daemon.send_signal(signal.SIGTERM)
        output, errors = daemon.communicate(timeout=PATIENCE)
    finally:
        daemon.kill()
    for client in clients:
        client.join(PATIENCE)

    faults = [fault for client in clients for fault in client.faults]
    faults += ["a client hangs" for client in clients if client.is_alive()]
    queued = sum(client.queued for client in clients)
    refused = sum(client.refused for client in clients)
    faults += end_faults(daemon, output, errors, summary(queued, refused))
    return faults, queued + refused, sum(client.reset for client in clients)


def crowded_round(program):
    """Gives what was wrong, and the number of replies."""
    daemon, port = start(program)
    try:
        clients = []
        for number in range(CROWD):
            server = socket.create_connection(("127.0.0.1", port), PATIENCE)
            server.sendall(f"{number}".encode())
            clients.append(server)
        time.sleep(1)  # it accepts them all; what it does not is reset, and not in the sums
        daemon.send_signal(signal.SIGTERM)
        for server in clients:
            with contextlib.suppress(ConnectionError):
                server.sendall(b".1\n")
        seen = Client(0, port, None)
        refused = set()
        for number, server in enumerate(clients):
            host, own_port = server.getsockname()
            before = seen.refused
            with server, contextlib.suppress(ConnectionError):
                seen.take_reply(server, f"{number}.1")
            if seen.refused != before:
                refused.add(f"cut: the request of {host}:{own_port}\n")
        output, errors = daemon.communicate(timeout=PATIENCE)
    finally:
        daemon.kill()
    lines = output.splitlines(keepends=True) or [""]
    faults = seen.faults[:10]
    faults += end_faults(daemon, lines[-1], errors, summary(seen.queued, seen.refused))
    faults += sorted(refused - set(lines))[:10]
    if not refused:
        faults.append("none was refused")
    return faults, seen.queued + seen.refused


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    random_source = random.Random(options.seed)
    # The last round needs a descriptor for each connection, and so does its daemon.
    resource.setrlimit(resource.RLIMIT_NOFILE, (CROWD + 100, CROWD + 100))
    replies = resets = 0
    for number in range(1, options.rounds + 1):
        faults, more_replies, more_resets = one_round(options.program, random_source)
        if faults:
            print(f"round {number} of --seed {options.seed}:", *faults, sep="\n")
            sys.exit(1)
        replies += more_replies
        resets += more_resets
    print(
        f"{options.rounds} rounds: {replies} requests accepted and answered, "
        f"{resets} connections reset in the backlog"
    )
    if replies == 0:
        sys.exit("nothing was ever answered")
    faults, replies = crowded_round(options.program)
    if faults:
        print("the crowd's round:", *faults, sep="\n")
        sys.exit(1)
    print(f"a crowd: {replies} requests answered")


main()
