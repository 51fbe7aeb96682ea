"""Starts the daemon, loads it, sends SIGTERM under load, and counts: again and again.

    daemon_rounds.py PROGRAM [--rounds N] [--seed S]

Each round must end with status 0, each connection that the daemon accepted must have its whole
reply, each job that a reply tells of must be done, and nothing may be cut.
"""

import argparse
import random
import signal
import socket
import subprocess
import sys
import threading
import time

CLIENTS = 8
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


def one_round(program, random_source):
    """Gives what was wrong, the number of replies, and that of connections left in the backlog."""
    daemon = subprocess.Popen(
        [program, "--serve", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        serving = daemon.stderr.readline()
        if not serving.startswith("serving 127.0.0.1:"):
            return [f"it said: {serving}"], 0, 0
        port = int(serving.rsplit(":", 1)[1])
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
    replies = queued + sum(client.refused for client in clients)
    expected = (
        f"{replies} accepted, {replies} answered, {queued} jobs done, "
        "ended by SIGTERM (Terminated)\n"
    )
    if daemon.returncode != 0 or output != expected:
        faults.append(
            f"exit status {daemon.returncode}, it printed\n{output}{errors}\n"
            f"but the clients expected\n{expected}"
        )
    return faults, replies, sum(client.reset for client in clients)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    random_source = random.Random(options.seed)
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


main()
