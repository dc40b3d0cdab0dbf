"""What stands in front of a broker: python bench/fronts.py KIND PORT TARGET [FOLDER].

`bare` only passes bytes on, `observe` and `protect` are the proxy as it is in these modes without a
detector; `tls` is observe for clients that speak TLS, with the certificate in FOLDER. They run on
asyncio's own loop. The whole agent is started by its own command.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args

import bare_proxy

from mqtt_ids.bridge.run import reserved
from mqtt_ids.events import AnyEvent
from mqtt_ids.readers import HostPort
from mqtt_ids.sensors.proxy.certificates import server_context
from mqtt_ids.sensors.proxy.options import Listener, Options, Upstream
from mqtt_ids.sensors.proxy.proxy import Proxy
from mqtt_ids.settings import Topics

HOST: Final = "127.0.0.1"
MOST: Final = 6_000  # connections
PATIENCE: Final = 60.0  # seconds
MOSQUITTO: Final = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
SINK: Final = str(Path(__file__).with_name("sink.py"))
_AGENT: Final = "from mqtt_ids.__main__ import agent_main; agent_main()"

Kind = Literal["direct", "bare", "observe", "protect", "agent", "tls"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Front:
    """Listens on `port`. `direct` is none at all: that is the broker's own port."""

    def __init__(self, kind: Kind, port: int, pid: int | None = None) -> None:
        self.kind = kind
        self.port = port
        self._proc = None if pid is None else Path(f"/proc/{pid}")

    def memory(self) -> float:
        """Resident memory in kB (10^3 bytes)."""
        if self._proc is None:
            return 0.0
        status = (self._proc / "status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1.024

    def cpu(self) -> float:
        """Seconds of processor time that it has used, user and system."""
        if self._proc is None:
            return 0.0
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """The port of a broker that does nothing."""
    port = _free_port()
    with _running([sys.executable, SINK, str(port)], port):
        yield port


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """The port of a Mosquitto with its own settings, but that it logs and limits nothing."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="mqtt-ids-") as folder:
        file = Path(folder, "mosquitto.conf")
        file.write_text(
            f"listener {port} {HOST}\nallow_anonymous true\nlog_dest none\nset_tcp_nodelay true\n"
            "max_inflight_messages 0\nmax_queued_messages 0\n"
        )
        with _running([str(MOSQUITTO), "-c", str(file)], port):
            yield port


@contextlib.contextmanager
def front(kind: Kind, target: int, certificates: Path | None = None) -> Iterator[Front]:
    """One of these in front of `target`, in a process of its own."""
    if kind == "direct":
        yield Front(kind, target)
        return
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="mqtt-ids-") as folder:
        command = [sys.executable, __file__, kind, str(port), str(target)]
        if certificates is not None:
            command.append(str(certificates))
        if kind == "agent":
            file = Path(folder, "mqtt-ids.yaml")
            file.write_text(f"state_dir: {folder}/state\nlimits: {{max_clients: {MOST}}}\n")
            command = [sys.executable, "-c", _AGENT, "--config", str(file)]
            command += ["--listen", f"{HOST}:{port}", "--broker", f"mqtt://{HOST}:{target}"]
        with _running(command, port) as pid:
            yield Front(kind, port, pid)


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[int]:
    """The process's id, once it listens."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + PATIENCE
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"it does not serve: {' '.join(command)}")
                time.sleep(0.05)
            yield process.pid
        finally:
            process.send_signal(signal.SIGKILL)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
        return True
    return False


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


# --- in the process of its own -------------------------------------------------------------------


class _Deaf:
    """Hears events and does nothing."""

    def feed(self, event: AnyEvent) -> None:
        """Nothing."""

    def barred(self, **_: object) -> None:
        """Nobody."""


async def _serve(kind: Kind, port: int, target: int, certificates: Path | None) -> None:
    if kind == "bare":
        await bare_proxy.serve(port, target)
        return
    proxy = Proxy(
        Upstream(address=HostPort(HOST, target)),
        Options(reserved=reserved(Topics()) if kind == "protect" else (), max_connections=MOST),
        _Deaf(),
    )
    tls = None
    if certificates is not None:
        tls = server_context(certificates / "server.pem", certificates / "server.key")
    await proxy.start([Listener(address=HostPort(HOST, port), tls=tls)])
    await asyncio.Event().wait()


def _main(kind: str, port: str, target: str, folder: str | None = None) -> None:
    if kind not in KINDS:
        raise SystemExit(f"fronts.py: {kind}: expected one of {', '.join(KINDS)}")
    certificates = None if folder is None else Path(folder)
    asyncio.run(_serve(kind, int(port), int(target), certificates))


if __name__ == "__main__":
    _main(*sys.argv[1:])
