"""Two network namespaces of a test's own, joined by a wire: the machine's rules stay untouched."""

import ctypes
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest

NEWNET = 0x4000_0000  # CLONE_NEWNET
BROKER = ("10.77.0.1", "fd77::1")
CLIENTS = ("10.77.0.2", "10.77.0.3", "10.77.0.4", "fd77::2", "fd77::3")
CONNECT = bytes.fromhex("100c00044d5154540402003c0000")  # 3.1.1, clean session, no client id
CONNACK = bytes.fromhex("20020000")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def _works() -> bool:
    name = f"ids-try-{os.getpid()}"
    try:
        for what in ("add", "del"):
            _ip("netns", what, name)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not _works(), reason="needs root, and the right to make namespaces"
)


class Wire:
    """The broker's namespace and the clients', with an address each of CLIENTS for the latter."""

    def __init__(self) -> None:
        self.broker = f"ids-b-{os.getpid()}"
        self.clients = f"ids-c-{os.getpid()}"

    def __enter__(self) -> Self:
        pairs = [("netns", "add", self.broker), ("netns", "add", self.clients)]
        for words in pairs:
            _ip(*words)
        _ip(
            "-n",
            self.broker,
            "link",
            "add",
            "w",
            "type",
            "veth",
            "peer",
            "w",
            "netns",
            self.clients,
        )
        for namespace, addresses in ((self.broker, BROKER), (self.clients, CLIENTS)):
            for device in ("lo", "w"):
                _ip("-n", namespace, "link", "set", device, "up")
            for address in addresses:
                if ":" in address:
                    _ip("-n", namespace, "addr", "add", f"{address}/64", "dev", "w", "nodad")
                else:
                    _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "w")
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in (self.broker, self.clients):
            subprocess.run(["ip", "netns", "del", namespace], check=False, timeout=20)

    def inside(self, *words: str) -> str:
        """What a command in the broker's namespace prints."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.broker, *words],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout

    def connect(self, source: str, port: int, speak: bytes = CONNECT) -> socket.socket:
        """A connection from one of the clients' addresses. Raises OSError."""
        found: list[socket.socket | OSError] = []

        def enter() -> None:
            with Path(f"/run/netns/{self.clients}").open("rb") as space:
                assert ctypes.CDLL(None).setns(space.fileno(), NEWNET) == 0
            host = BROKER[1] if ":" in source else BROKER[0]
            try:
                one = socket.create_connection((host, port), 5.0, (source, 0))
                one.sendall(speak)
                found.append(one)
            except OSError as error:
                found.append(error)

        thread = threading.Thread(target=enter)  # the namespace is a thread's own
        thread.start()
        thread.join()
        if isinstance(found[0], OSError):
            raise found[0]
        return found[0]
