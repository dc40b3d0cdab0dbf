"""The real `mqtt-ids-agent` beside a broker, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from live_broker import until

from mqtt_ids import control
from mqtt_ids.errors import ControlError

WITHIN = 30.0  # seconds for whatever a busy machine may take its time with
LOOKS = 6.0  # seconds after which it has told what it sees, and is done with settling in
_SCRIPT = """
import ctypes, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it never outlives the tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the parent ignores
from mqtt_ids.__main__ import agent_main
agent_main()
"""


class Agent:
    """Watches the broker at `url`; `log` is the broker's log file, `settings` are further keys;
    `before` is a command that runs it, such as setpriv.

    Its state is in `state`. What it says on standard error is in `output`.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        **settings: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self.output = folder / "agent.out"
        self._config = folder / "mqtt-ids.yaml"
        self._arguments = ["--config", str(self._config), "--broker", url]
        if log is not None:
            self._arguments += ["--log", str(log)]
        self._before = before
        self._env = {**os.environ, **(env or {})}
        self.passed: Sequence[int] = ()  # files of ours that it gets open, with the same numbers
        self._process: subprocess.Popen[bytes] | None = None
        self._began_at = 0  # bytes that earlier starts have said
        self.output.touch()
        self._config.write_text(
            yaml.safe_dump({"state_dir": str(self.state), **settings}), encoding="utf-8"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def told(self) -> str:
        """What it has said, by all its starts."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    @property
    def told_now(self) -> str:
        """What it has said since its last start."""
        return self.output.read_bytes()[self._began_at :].decode("utf-8", "replace")

    @property
    def files(self) -> dict[str, bytes]:
        """What is in its folder, by name."""
        paths = [path for path in self._config.parent.rglob("*") if path.is_file()]
        return {path.name: path.read_bytes() for path in paths}

    def start(self) -> None:
        """Begin; returns at once."""
        self._began_at = self.output.stat().st_size
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(
                [*self._before, sys.executable, "-c", _SCRIPT, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self._env,
                pass_fds=self.passed,
            )

    def stop(self) -> int:
        """End it as systemd does, with SIGTERM; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WITHIN)

    def interrupt(self) -> int:
        """End it as a person does, with Ctrl-C; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(WITHIN)

    def kill(self) -> None:
        """End it at once, with SIGKILL. Twice does no harm."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(WITHIN)

    def exit_code(self, within: float = WITHIN) -> int:
        """Of an agent that ends by itself."""
        assert self._process is not None
        return self._process.wait(within)

    def wait_for(self, text: str, within: float = WITHIN) -> None:
        """Until it has said this since its last start."""
        self._until(lambda: text in self.told_now, within, repr(text))

    def ready(self, within: float = WITHIN) -> None:
        """Until it is connected, and has looked around for some seconds."""
        self.wait_for("connected to", within)
        time.sleep(LOOKS)
        assert self.runs, self.told_now

    def _until(self, what: Any, within: float, wanted: str) -> None:  # noqa: ANN401 - a callable
        found = until(lambda: what() or not self.runs, within) and what()
        assert found, f"{wanted} was not said within {within:g} s:\n{self.told_now}"

    def ask(self, request: control.Request) -> Any:  # noqa: ANN401 - JSON
        """What the control socket answers. Raises ControlError."""
        return control.ask(self.state, request)

    def status(self) -> dict[str, Any]:
        """Its status; empty where it does not answer."""
        try:
            status: dict[str, Any] = self.ask(control.Status())
        except ControlError:
            return {}
        return status

    def memory(self, what: str) -> float:
        """`VmRSS`, or its peak `VmHWM`, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024
