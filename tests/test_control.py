"""The control socket: who may speak, what is answered, and what a rude client can do to it."""

import asyncio
import contextlib
import json
import socket
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from mqtt_ids import control
from mqtt_ids.control import ControlServer, ask, socket_path
from mqtt_ids.errors import ControlError, StateError

T = TypeVar("T")


async def echo(request: control.Request) -> object:
    if isinstance(request, control.Lift):
        raise ControlError("there is no ban on address 192.0.2.9")
    if isinstance(request, control.Clients):
        return {"asked": 1}["a fault inside"]
    return {"asked": type(request).__name__}


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[None]:
    server = ControlServer(folder, echo)
    await server.start()
    try:
        yield
    finally:
        await server.stop()


def with_server(folder: Path, do: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        async with serving(folder):
            return await do()

    return asyncio.run(run())


def answer(folder: Path, request: control.Request) -> object:
    return with_server(folder, lambda: asyncio.to_thread(ask, folder, request))


def raw(folder: Path, data: bytes) -> bytes:
    """What the server sends back to these bytes, until it closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(socket_path(folder)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
            return b"".join(parts)
    return b""


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (control.Status(), "Status"),
        (control.Incidents(id="01JD"), "Incidents"),
        (control.Impose("address", "192.0.2.9", 60.0, "why"), "Impose"),
        (control.Release(), "Release"),
    ],
)
def test_a_request_reaches_the_agent_and_its_answer_comes_back(
    tmp_path: Path, request_: control.Request, named: str
) -> None:
    assert answer(tmp_path, request_) == {"asked": named}


def test_a_refusal_is_told(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"there is no ban on address 192\.0\.2\.9"):
        answer(tmp_path, control.Lift("address", "192.0.2.9"))


def test_a_fault_inside_is_logged_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ControlError, match="its log tells more"):
        answer(tmp_path, control.Clients())
    assert "a fault inside" in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"hello\n",
        b'{"command": "reboot"}\n',
        b'{"command": "ban", "kind": "planet", "value": "x"}\n',
        b'{"command": "ban", "kind": "address"}\n',
        b'{"command": "incidents", "limit": "many"}\n',
        b'{"command": "status"',
        b"\xff\xfe\n",
        b"[" * 60_000 + b"\n",
    ],
)
def test_nonsense_is_answered_with_an_error(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.5)
    reply = with_server(tmp_path, lambda: asyncio.to_thread(raw, tmp_path, data))
    assert not reply or json.loads(reply)["ok"] is False
    if data.endswith(b"\n"):
        assert reply


def test_a_request_without_end_is_dropped(tmp_path: Path) -> None:
    async def do() -> tuple[bytes, object]:
        endless = await asyncio.to_thread(raw, tmp_path, b"x" * 10_000_000)
        return endless, await asyncio.to_thread(ask, tmp_path, control.Status())

    assert with_server(tmp_path, do) == (b"", {"asked": "Status"})


def test_silent_clients_are_dropped_and_do_not_shut_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.3)

    async def do() -> object:
        silent = [
            await asyncio.open_unix_connection(socket_path(tmp_path))
            for _ in range(control.AT_ONCE + 4)
        ]
        for reader, writer in silent:
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        return await asyncio.to_thread(ask, tmp_path, control.Status())

    assert with_server(tmp_path, do) == {"asked": "Status"}


def test_only_owner_and_group_may_use_the_socket(tmp_path: Path) -> None:
    async def do() -> int:
        return stat.S_IMODE(socket_path(tmp_path).stat().st_mode)

    assert with_server(tmp_path, do) == 0o660
    assert not socket_path(tmp_path).exists()


def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(socket_path(tmp_path)))
    assert answer(tmp_path, control.Status()) == {"asked": "Status"}


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    socket_path(tmp_path).write_text("precious")
    with pytest.raises(StateError, match="is no socket"):
        answer(tmp_path, control.Status())
    assert socket_path(tmp_path).read_text() == "precious"


def test_a_folder_too_deep_for_a_socket_is_told_by_how_much(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with pytest.raises(StateError, match="bytes too long for a control socket"):
        answer(deep, control.Status())
    with pytest.raises(ControlError, match="bytes too long"):
        ask(deep, control.Status())


def test_the_longest_folder_that_fits_works(tmp_path: Path) -> None:
    room = control.PATH_LIMIT - len(str(tmp_path)) - len(control.FILE) - 2
    longest = tmp_path / ("d" * room)
    longest.mkdir()
    assert len(str(socket_path(longest))) == control.PATH_LIMIT
    assert answer(longest, control.Status()) == {"asked": "Status"}


def test_without_an_agent_the_line_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ControlError, match="no agent runs with the state folder"):
            ask(folder, control.Status())
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(socket_path(tmp_path)))
    with pytest.raises(ControlError, match="no agent runs"):
        ask(tmp_path, control.Status())


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", "busy or stopping"),
        (b"nonsense\n", "busy or stopping"),
        (b'{"ok": false}\n', "refused"),
        (None, "did not answer within"),
    ],
)
def test_an_agent_that_answers_oddly_is_no_traceback(
    tmp_path: Path, sent: bytes | None, told: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as odd:
        odd.bind(str(socket_path(tmp_path)))
        odd.listen()
        done = threading.Event()

        def serve() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(65_536)
                if sent is None:
                    done.wait(10)
                else:
                    connection.sendall(sent)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ControlError, match=told):
            ask(tmp_path, control.Status(), patience=0.3)
        done.set()
        thread.join(10)
