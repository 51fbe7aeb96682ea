"""Installs the build into a scratch folder, then builds and runs a program on what is there.

Arguments: the build folder, the program's source, the compiler's command.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

build, source, *compiler = sys.argv[1:]


def output(*command, **extra):
    print("$", *command, flush=True)
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **extra).stdout


with tempfile.TemporaryDirectory() as scratch:
    root = pathlib.Path(scratch)
    output("meson", "install", "-C", build, "--no-rebuild", "--destdir", scratch)
    pc = next(root.rglob("sluice.pc"))
    prefix = root / pc.read_text().splitlines()[0].removeprefix("prefix=").lstrip("/")
    search = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
    pkg_config = ("pkg-config", f"--define-variable=prefix={prefix}", "sluice")
    program = str(root / "program")

    flags = output(*pkg_config, "--cflags", "--libs", env=search).split()
    output(*compiler, "-std=c++20", source, "-o", program, *flags)
    output(program, env={**os.environ, "LD_LIBRARY_PATH": str(pc.parent.parent)})

    cflags = output(*pkg_config, "--cflags", env=search).split()
    archive = str(next(root.rglob("libsluice.a")))
    output(*compiler, "-std=c++20", *cflags, source, archive, "-luring", "-o", program)
    output(program)
