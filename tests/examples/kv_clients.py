"""Has redis-cli and redis-benchmark, as Debian packs them, talk to kv.

    kv_clients.py PROGRAM [--sanitized]
"""

import subprocess
import sys

from server import Server

COMMANDS = "ping,set,get,incr,lpush,rpush,lpop,rpop,mset,lrange_100"
PATIENCE = 120  # seconds


def output_of(*command):
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    if ran.returncode != 0 or ran.stderr:
        sys.exit(f"{' '.join(command)}: status {ran.returncode}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


program, *flags = sys.argv[1:]
server = Server([program, "--port", "0"])
port = str(server.port)
cli = ["redis-cli", "-p", port]
expect(output_of(*cli, "ping"), "PONG\n", "ping")
expect(output_of(*cli, "set", "greeting", "hello there"), "OK\n", "set")
expect(output_of(*cli, "get", "greeting"), "hello there\n", "get")
expect(output_of(*cli, "rpush", "list", "a", "b"), "2\n", "rpush")
expect(output_of(*cli, "lrange", "list", "0", "-1"), "a\nb\n", "lrange")

requests = "1500" if flags else "4000"
for more in ([], ["-P", "16"], ["-c", "1000"], ["-c", "1000", "-P", "16"]):
    report = output_of(
        "redis-benchmark", "-p", port, "-t", COMMANDS, "-n", requests, "--csv", *more
    )
    # A heading, and a line for each; ping and lrange_100 are two.
    expect(len(report.splitlines()), 13, f"lines of {more}:\n{report}")

server.stop()
expect(server.process.returncode, 0, "exit status")
