"""The control socket: the only way to command a running agent or plugin.

A Unix socket in the state folder, mode 0660. One request and one answer a connection, each one
line of JSON:

    {"command": "ban", "kind": "address", "value": "192.0.2.7"}
    {"ok": true, "result": ...}      {"ok": false, "error": "one line"}

Whoever may open the socket may command us; nothing listens on the network.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from mqtt_ids.errors import ControlError, IdsError, StateError
from mqtt_ids.policy import HandleKind

log = logging.getLogger(__name__)

FILE = "control.sock"
PATH_LIMIT = 107  # bytes: sun_path has 108 with its NUL
REQUEST_LIMIT = 65_536  # bytes
ANSWER_LIMIT = 64 * 1024 * 1024
PATIENCE = 5.0  # seconds for a client to send its request, and to take its answer
AT_ONCE = 16  # connections


class Status(msgspec.Struct, frozen=True, tag_field="command", tag="status"):
    """How the agent is, its bans and the last actions."""


class Clients(msgspec.Struct, frozen=True, tag_field="command", tag="clients"):
    """All clients that are known."""


class Incidents(msgspec.Struct, frozen=True, tag_field="command", tag="incidents"):
    """The newest incidents, or the one with this id, its `timeline` and the `actions` about it."""

    id: str | None = None
    limit: int = 100


class Impose(msgspec.Struct, frozen=True, tag_field="command", tag="ban"):
    """Keep out whoever bears this handle, for `seconds` or as long as the settings say."""

    kind: HandleKind
    value: str
    seconds: float | None = None
    why: str = "by hand"


class Lift(msgspec.Struct, frozen=True, tag_field="command", tag="unban"):
    """Lift the ban on this handle."""

    kind: HandleKind
    value: str


class Release(msgspec.Struct, frozen=True, tag_field="command", tag="release"):
    """Lift all bans and clear our retained topics."""


class Accept(msgspec.Struct, frozen=True, tag_field="command", tag="accept"):
    """Take an incident for normal, for `seconds` or for good; or, with `undo`, no longer."""

    id: str
    seconds: float | None = None
    undo: bool = False


class Accepted(msgspec.Struct, frozen=True, tag_field="command", tag="accepted"):
    """All that is accepted now."""


class Forget(msgspec.Struct, frozen=True, tag_field="command", tag="forget"):
    """Drop what is normal for a client: it is a newcomer again."""

    client_id: str


class Top(msgspec.Struct, frozen=True, tag_field="command", tag="top"):
    """The oddest clients as they are now, `most` of them, and what is going on."""

    most: int = 20


Question = Status | Clients | Incidents | Accepted | Top
Order = Impose | Lift | Release | Accept | Forget
Request = Question | Order
Answer = Callable[[Request], Awaitable[object]]


def socket_path(folder: Path) -> Path:
    """Where the socket of the agent with this state folder is. Raises StateError if too long."""
    path = folder.absolute() / FILE
    length = len(os.fsencode(path))
    if length > PATH_LIMIT:
        raise StateError(
            f"state_dir {folder}: its path is {length - PATH_LIMIT} bytes too long for a control"
            f" socket in it (at most {PATH_LIMIT - len(FILE) - 1}); name a shorter one"
        )
    return path


class ControlServer:
    """Listens on the socket and hands each request to `answer`, which may raise IdsError."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        self._folder = folder
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._busy = 0

    async def start(self) -> None:
        """Open the socket; one that a dead process left is replaced. Raises StateError."""
        path = socket_path(self._folder)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove(path)
            listener.bind(str(path))
            path.chmod(0o660)  # before it listens: nobody was let in under another mode
            self._server = await asyncio.start_unix_server(
                self._serve, sock=listener, limit=REQUEST_LIMIT
            )
        except OSError as error:
            listener.close()
            raise StateError(f"{path}: cannot be made: {error.strerror}") from None

    async def stop(self) -> None:
        """Close the socket and take it away."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                _remove(socket_path(self._folder))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._busy += 1
        try:
            if self._busy <= AT_ONCE:
                async with asyncio.timeout(PATIENCE):
                    line = await reader.readline()
                reply = await self._reply(line)
                async with asyncio.timeout(PATIENCE):
                    writer.write(reply + b"\n")
                    await writer.drain()
        except (OSError, ValueError, TimeoutError) as error:
            # A client that went away, sent too much or nothing: its own affair.
            log.debug("control: %s", error)
        finally:
            self._busy -= 1
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _reply(self, line: bytes) -> bytes:
        try:
            request: Request = msgspec.json.decode(line, type=Request)
            return msgspec.json.encode({"ok": True, "result": await self._answer(request)})
        except (IdsError, msgspec.ValidationError, msgspec.DecodeError) as error:
            return msgspec.json.encode({"ok": False, "error": str(error)})
        except Exception:
            log.exception("control: a command failed")
            error_text = "it failed inside the agent; its log tells more"
            return msgspec.json.encode({"ok": False, "error": error_text})


def _remove(path: Path) -> None:
    """Take away a socket; anything else that bears its name is not ours to remove."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StateError(f"{path}: is no socket; move it away")
    path.unlink()


def ask(folder: Path, request: Request, patience: float = 10.0) -> Any:  # noqa: ANN401 - JSON
    """The running agent's answer to `request`. Waits at most about `patience` seconds a step.

    Raises ControlError, in one line, where no agent runs or it refuses.
    """
    try:
        path = socket_path(folder)
    except StateError as error:
        raise ControlError(str(error)) from None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(patience)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            data = _line(connection)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise ControlError(
            f"no agent runs with the state folder {folder}; start mqtt-ids-agent, or name the"
            " folder of the one that runs with --state"
        ) from None
    except PermissionError:
        raise ControlError(f"{path}: this user may not command the agent; try sudo") from None
    except TimeoutError:
        raise ControlError(f"the agent did not answer within {patience:g} s") from None
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}") from None
    return _result(data)


def _line(connection: socket.socket) -> bytes:
    parts = []
    size = 0
    while part := connection.recv(1 << 16):
        parts.append(part)
        size += len(part)
        if size > ANSWER_LIMIT:
            raise ControlError("the answer is too long")
    return b"".join(parts)


def _result(data: bytes) -> object:
    try:
        reply = msgspec.json.decode(data, type=dict[str, object])
    except (msgspec.ValidationError, msgspec.DecodeError):
        raise ControlError("the agent is busy or stopping; try again") from None
    if reply.get("ok") is not True:
        raise ControlError(str(reply.get("error", "the agent refused")))
    return reply.get("result")
