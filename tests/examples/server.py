"""What the checks of servers have in common."""

import atexit
import socket
import subprocess
import tempfile
import time


class Server:
    """A server process of its own and connections to it."""

    def __init__(self, arguments, port=None):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, cwd=self.folder.name, text=True
        )
        atexit.register(self.process.kill)  # when a check fails; harmless after stop()
        self.port = port or int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.connect(patience=10).close()

    def connect(self, patience=0):
        end = time.monotonic() + patience
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.folder.cleanup()
