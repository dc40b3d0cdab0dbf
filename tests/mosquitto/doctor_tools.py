"""A Mosquitto as it is installed, and somebody who follows the doctor's advice to the letter."""

import contextlib
import getpass
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from live_broker import HOST
from mosquitto_broker import Mosquitto

from mqtt_ids.cli import ids, run
from mqtt_ids.doctor import recipes

SECRET = "correct horse"
GROUP = "adm"  # stands for the group that the advice would make; every Debian has it
ADMIN = "admin"
NOBODY = 65534
Answer = tuple[int, dict[str, Any]]


class Installed(Mosquitto):
    """Logs as its lines say, and no more."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.lines = list(lines)
        super().__init__(folder, *lines, file_log=True)

    def configure(self, *lines: str) -> None:
        head = (f"user {getpass.getuser()}", f"listener {self.port} {HOST}")
        self._config.write_text("\n".join((*head, *lines)) + "\n", encoding="utf-8")

    def add(self, *lines: str) -> None:
        """What a file in conf.d adds. Of what there may be only once, the first stays."""
        self.lines += [line for line in lines if line not in self.lines]
        self.configure(*self.lines)

    def restart(self) -> None:
        self.stop()
        self.start()


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    """The exit code, and what it prints as JSON."""
    code = run(ids, "mqtt-ids", ["doctor", "--json", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return code, json.loads(out)


def as_nobody(out: Path, *arguments: str, groups: Sequence[int] = ()) -> Answer:
    """The same by the user nobody, in a process that root forks; `out` holds what it prints.

    Something must have called `doctor` before: what is loaded late is often root's alone.
    """
    child = os.fork()
    if child == 0:
        with out.open("w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
            os.setgroups(groups)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = run(ids, "mqtt-ids", ["doctor", "--json", *arguments])
            stream.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(out.read_text(encoding="utf-8"))


def gap(answer: Answer, name: str) -> dict[str, Any]:
    """The gap of that id."""
    (found,) = [each for each in answer[1]["gaps"] if each["id"] == name]
    return dict(found)


def names(answer: Answer) -> list[str]:
    return [each["id"] for each in answer[1]["gaps"]]


class Apprentice:
    """Does what a step says: in a folder instead of /, and with the group that there is.

    `done` lists the commands that were left out, `files` what was written.
    """

    def __init__(self, broker: Installed) -> None:
        self.broker = broker
        self.root = broker.folder / "root"
        self.files: dict[str, Path] = {}
        self.left_out: list[str] = []

    def place(self, text: str) -> str:
        """The same text for our folder."""
        text = re.sub(r"(?<![\w/.-])/(?=(etc|run|var)/)", f"{self.root}/", text)
        return re.sub(rf"(?<![\w/]){recipes.READERS}(?![\w.])", GROUP, text)

    def follow(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """All steps that hold in every case."""
        for step in steps:
            if step["when"] is None:
                self.take(step)

    def take(self, step: Mapping[str, Any]) -> None:
        lines = [self.place(line) for line in step["lines"]]
        if step["do"] == "run":
            for line in lines:
                self._run(line)
        elif step["where"] == recipes.CONF:
            self._make_folders(lines)
            self.broker.add(*lines)
        else:
            file = Path(self.place(step["where"]))
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("w" if step["do"] == "write" else "a", encoding="utf-8") as stream:
                stream.write("\n".join(lines) + "\n")
            self.files[step["where"]] = file

    def _make_folders(self, lines: Sequence[str]) -> None:
        """What a package's installation has made."""
        for line in lines:
            path = Path(line.split()[-1])
            if path.is_relative_to(self.root):
                path.parent.mkdir(parents=True, exist_ok=True)

    def _run(self, line: str) -> None:
        words = shlex.split(line.removeprefix("sudo "), comments=True)
        special: dict[str, Callable[[list[str]], None]] = {
            "systemctl": lambda _: self.broker.restart(),
            "mosquitto_passwd": lambda rest: self._do(["mosquitto_passwd", "-b", *rest, SECRET]),
            "mosquitto_ctrl": self._ctrl,
        }
        if not words:
            return
        if words[0] in {"groupadd", "usermod", "install", "mount", "mqtt-ids"}:
            self.left_out.append(line)
        elif words[0] in special:
            special[words[0]](words[1:])
        else:
            self._do(words)

    def _ctrl(self, rest: list[str]) -> None:
        at = rest.index("dynsec")
        rest = [*rest[:at], "-P", SECRET, *rest[at:]]
        self._do(["mosquitto_ctrl", *rest, *(["-p", SECRET] if "createClient" in rest else [])])

    def _do(self, words: list[str]) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0, (words, done.stdout, done.stderr)


def is_root() -> bool:
    return os.geteuid() == 0
