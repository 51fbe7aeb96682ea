"""Talks to the echo example, and ends it by SIGTERM with a client that is still there.

    echo.py PROGRAM
"""

import signal
import sys
import time

from server import Server

PORT = 7000
PATIENCE = 30  # seconds


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


server = Server(sys.argv[1:], PORT)
with server.connect() as first, server.connect() as second:
    expect_echo(first, b"hello")
    expect_echo(second, bytes(range(256)) * 400)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    expect_echo(first, b"those that it has it sees to their end")
if server.process.wait(PATIENCE) != 0:
    sys.exit(f"exit status {server.process.returncode}")
