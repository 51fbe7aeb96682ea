"""Talks to the echo example, and ends it by SIGTERM with a client that is still there.

    echo.py PROGRAM
"""

import signal
import socket
import subprocess
import sys
import time

ADDRESS = ("127.0.0.1", 7000)
PATIENCE = 30  # seconds


def connect(server):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(ADDRESS, PATIENCE)
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > end:
                sys.exit(f"it does not listen: status {server.poll()}")
            time.sleep(0.01)


def expect_echo(connection, message):
    connection.sendall(message)
    got = b""
    while len(got) < len(message):
        part = connection.recv(65536)
        if not part:
            sys.exit(f"closed after {len(got)} of {len(message)} bytes")
        got += part
    if got != message:
        sys.exit("it echoes something else")


server = subprocess.Popen(sys.argv[1:])
try:
    with connect(server) as first, connect(server) as second:
        expect_echo(first, b"hello")
        expect_echo(second, bytes(range(256)) * 400)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        expect_echo(first, b"those that it has it sees to their end")
    if server.wait(PATIENCE) != 0:
        sys.exit(f"exit status {server.returncode}")
finally:
    server.kill()
