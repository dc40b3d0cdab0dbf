"""An amqtt in a process of its own, without the plugin, for one user."""

import subprocess
import sys
from pathlib import Path
from typing import Self

import yaml
from live_broker import HOST, free_port, listening, until
from pwdlib.hashers.argon2 import Argon2Hasher

USER, PASSWORD = "u", "secret"
_SCRIPT = """
import ctypes, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it never outlives the tests
from amqtt.scripts.broker_script import main
main()
"""


class Amqtt:
    """Listens on `port`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "amqtt.log"
        self._config = folder / "amqtt.yaml"
        passwords = folder / "passwords"
        cheap = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
        passwords.write_text(f"{USER}:{cheap.hash(PASSWORD)}\n", encoding="utf-8")
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self.port}"}},
            "plugins": {
                "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}
            },
        }
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def __enter__(self) -> Self:
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SCRIPT, "-c", str(self._config)], stdout=out, stderr=out
            )
        until(self._serves, 30.0, failing="the broker does not start")
        return self

    def _serves(self) -> bool:
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        return self.port in listening()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
