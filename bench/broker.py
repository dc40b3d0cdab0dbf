"""One broker in a process of its own: python bench/broker.py KIND PORT STATE_DIR.

It says "ready" on standard output once it serves, and ends with its standard input.
"""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from amqtt.broker import Broker

from mqtt_ids.embedded import PLUGIN

Kind = Literal["bare", "no-op", "ours"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Running:
    """A broker that serves on loopback."""

    def __init__(self, kind: Kind, port: int, process: subprocess.Popen[str]) -> None:
        self.kind = kind
        self.port = port
        self._proc = Path(f"/proc/{process.pid}")

    def memory(self, which: Literal["VmRSS", "VmHWM"]) -> float:
        """Resident memory now, or at its highest so far, in MB (10^6 bytes)."""
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(which):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError(f"no {which} in {self._proc}/status")

    def cpu(self) -> float:
        """Seconds of processor time that it has used, user and system."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(kind: Kind) -> Iterator[Running]:
    """A broker of this kind, stopped at the end."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="mqtt-ids-") as state:
        command = [sys.executable, __file__, kind, str(port), state]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                if process.stdout is None or process.stdout.readline() != "ready\n":
                    raise RuntimeError(f"the broker ({kind}) did not start")
                yield Running(kind, port, process)
            finally:
                process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _config(kind: Kind, port: int, state: str) -> dict[str, Any]:
    plugins: dict[Kind, dict[str, Any]] = {
        "bare": {},
        "no-op": {"noop_plugin.NoopPlugin": {}},
        "ours": {PLUGIN: {"mode": "observe", "state_dir": state}},
    }
    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {**plugins[kind], anonymous: {"allow_anonymous": True}},
    }


async def _serve(kind: Kind, port: int, state: str) -> None:
    broker = Broker(_config(kind, port, state))
    await broker.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await broker.shutdown()


def _main(kind: str, port: str, state: str) -> None:
    if kind not in KINDS:
        raise SystemExit(f"broker.py: {kind}: expected one of {', '.join(KINDS)}")
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_serve(kind, int(port), state))


if __name__ == "__main__":
    _main(*sys.argv[1:])
