"""Starts the command line in several processes at once, as a launcher does, without importing torch
anew for each.

It trains MANIFEST into FOLDER first, so that all that a run imports is there. Then a line of JSON
on stdin, {"world": n, "arguments": [...], "folder": where stdout and stderr go, "environment":
variables that are set too}, is answered by the processes' ids; the next line, whatever it says, by
their exit codes once all have ended.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from emomtl.cli import main
from emomtl.compose import compose_file
from emomtl.plugins.discovery import Plugins
from emomtl.train import Display, start, train


def child(job: dict[str, Any], rank: int, port: int) -> None:
    """One process of a run, with what torchrun sets."""
    for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
        handle = os.open(f"{job['folder']}/{name}-{rank}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(handle, stream.fileno())
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(job["world"]), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= job["environment"]
    code = 70
    try:
        main(job["arguments"])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def serve() -> None:
    """Do job after job until stdin ends."""
    while line := sys.stdin.readline():
        job, port, pids = json.loads(line), free_port(), []
        for rank in range(job["world"]):
            pid = os.fork()
            if pid == 0:
                child(job, rank, port)
            pids.append(pid)
        print(json.dumps(pids), flush=True)
        sys.stdin.readline()
        print(
            json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]),
            flush=True,
        )


if __name__ == "__main__":
    train(
        start(compose_file(Path(sys.argv[1]), [], Plugins.discover()), Path(sys.argv[2]), Display())
    )
    serve()
