"""A real Mosquitto on loopback, as configured by a test, in a process of its own."""

import getpass
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pytest
from live_broker import HOST, free_port, listening, until

SYSTEM = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"  # Debian keeps the broker in sbin
PROGRAM = shutil.which("mosquitto", path=SYSTEM)
WITHIN = 10.0  # seconds

needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="no mosquitto here")


class Mosquitto:
    """Listens on `port`; `lines` are those of its configuration beside the listener.

    What it says is in `output` (a buffer holds it back there); with `file_log` each line of its
    log is in `log` at once. Unless `verbose`, only what `lines` ask for is logged.
    """

    def __init__(
        self, folder: Path, *lines: str, file_log: bool = False, verbose: bool = True
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        self.output = folder / "mosquitto.out"
        self._config = folder / "mosquitto.conf"
        self._file_log = file_log
        self._verbose = verbose and not file_log
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(*(lines or ("allow_anonymous true",)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def told(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8")

    def configure(self, *lines: str) -> None:
        """Other lines, from the next start on."""
        settings = [
            f"user {getpass.getuser()}",  # as root it would become another one
            f"listener {self.port} {HOST}",
            *lines,
        ]
        if self._file_log:
            settings += [f"log_dest file {self.log}", "log_type all"]
        self._config.write_text("\n".join(settings) + "\n", encoding="utf-8")

    def start(self) -> None:
        """Begin to serve."""
        assert PROGRAM is not None
        arguments = [PROGRAM, "-c", str(self._config)]
        if self._verbose:
            arguments.append("-v")
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(arguments, stdout=out, stderr=out)
        until(self._serves, WITHIN, failing="mosquitto does not start")

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.told
        return self.port in listening()

    def signal(self, number: int) -> None:
        """Such as SIGHUP, after which it opens its log anew."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WITHIN)
            self._process = None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(WITHIN)
            self._process = None


def passwords(folder: Path, users: Mapping[str, str]) -> Path:
    """A password file with these users; for `password_file` in the broker's configuration."""
    file = folder / "passwords"
    file.touch(mode=0o600)
    for user, password in users.items():
        command = ["mosquitto_passwd", "-b", str(file), user, password]
        subprocess.run(command, check=True, timeout=20)
    return file
