"""A real broker in a process of its own, and what the kernel knows of its connections."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from mqtt_ids import control
from mqtt_ids.demo_scene import write_passwords
from mqtt_ids.errors import ControlError

HOST = "127.0.0.1"
PLUGIN = "mqtt_ids_plugin.IDSPlugin"
_SCRIPT = """
import ctypes, logging, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it never outlives the tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the parent ignores
for ours in ("mqtt_ids", "mqtt_ids_plugin", "mqtt_ids_model"):
    logging.getLogger(ours).setLevel(logging.DEBUG)
from amqtt.scripts.broker_script import main
main()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def until(
    what: Callable[[], object], within: float, *, failing: str | None = None, beat: float = 0.02
) -> bool:
    """Whether `what` came true in time. With `failing` it is an error if not."""
    end = time.monotonic() + within
    while not what():
        if time.monotonic() >= end:
            if failing is not None:
                raise AssertionError(f"within {within:g} s: {failing}")
            return False
        time.sleep(beat)
    return True


class Broker:
    """amqtt's own script with the plugin. What it logs is in `log`, our own part at DEBUG."""

    def __init__(self, folder: Path, logins: Mapping[str, str], **settings: object) -> None:
        self.port = free_port()
        self.state = folder / "state"
        self.log = folder / "broker.log"
        self._config = folder / "amqtt.yaml"
        self._process: subprocess.Popen[bytes] | None = None
        passwords = folder / "passwords"
        write_passwords(logins, passwords)
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self.port}"}},
            "plugins": {
                PLUGIN: {"state_dir": str(self.state), **settings},
                "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)},
            },
        }
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Begin to serve."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SCRIPT, "-c", str(self._config)], stdout=out, stderr=out
            )
        until(self._serves, 30.0, failing="the broker does not start")

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(encoding="utf-8")
        return self.port in listening()

    def stop(self) -> int:
        """End it as a person does, with Ctrl-C, and again where nothing happens; its exit code.

        Python drops a KeyboardInterrupt that comes up inside a weak reference's callback.
        """
        assert self._process is not None
        for _ in range(3):
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(15)
        raise AssertionError("the broker does not end")

    def ask(self, request: control.Request) -> Any:  # noqa: ANN401 - JSON
        """What the control socket answers."""
        return control.ask(self.state, request)

    def told(self) -> dict[str, Any]:
        """Its status; empty where it does not answer."""
        with contextlib.suppress(ControlError):
            status: dict[str, Any] = self.ask(control.Status())
            return status
        return {}

    def memory(self, what: str) -> float:
        """`VmRSS`, or since `forget_peak` `VmHWM`, of its process, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        found = re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def forget_peak(self) -> None:
        forget_peak(self.pid)


def forget_peak(pid: int) -> None:
    """Begin to measure the `VmHWM` of this process anew: proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


# What the kernel knows of connections.


def _connections(state: str) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Local and remote end of each TCP connection in this state: proc(5), /proc/net/tcp."""
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, found, *_ = line.split()
        if found == state:
            yield _end(local), _end(remote)


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    return socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)


def listening() -> set[int]:
    return {port for (_, port), _ in _connections("0A")}


class Sample(NamedTuple):
    """Which remote ends were connected to the broker, at a time."""

    at: float
    ends: frozenset[tuple[str, int]]

    def ports(self, address: str) -> set[int]:
        return {port for host, port in self.ends if host == address}


class Sockets:
    """Looks at the broker's established connections again and again, from a thread."""

    def __init__(self, port: int, beat: float = 0.05) -> None:
        self.samples: list[Sample] = []
        self._port, self._beat = port, beat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _look(self) -> None:
        while not self._over.wait(self._beat):
            ends = (remote for local, remote in _connections("01") if local[1] == self._port)
            self.samples.append(Sample(time.monotonic(), frozenset(ends)))

    def gone_after(self, address: str, moment: float) -> float | None:
        """Seconds from `moment` until its connections of then were gone; None if they stayed.

        0 where there were none. Connections that were made since do not count.
        """
        samples = list(self.samples)
        before = [sample for sample in samples if sample.at <= moment]
        left = before[-1].ports(address)
        if not left:
            return 0.0
        for sample in samples[len(before) :]:
            left &= sample.ports(address)
            if not left:
                return sample.at - moment
        return None

    def fewest_since(self, address: str, moment: float) -> int:
        """Its connections since then, but for those that came and went."""
        samples = list(self.samples)
        since = [sample for sample in samples if sample.at >= moment] or samples[-1:]
        return min(len(sample.ports(address)) for sample in since)
