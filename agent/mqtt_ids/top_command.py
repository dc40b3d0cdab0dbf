"""`mqtt-ids top`: who is odd just now, live in the terminal."""

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live

from mqtt_ids import control
from mqtt_ids.errors import ControlError
from mqtt_ids.options import json_option, print_json, state_option

EVERY: Final = 1.0  # seconds between two questions
PATIENCE: Final = 3.0  # seconds for an answer
ASKED: Final = 100  # clients in a live picture: more fit no screen


@click.command()
@click.option(
    "--most",
    type=click.IntRange(1, 200),
    default=20,
    show_default=True,
    help="How many clients where the output is no terminal.",
)
@state_option
@json_option
def top(most: int, state: Path, *, as_json: bool) -> None:
    """Watch the clients live, the oddest first, each with its score against its threshold.

    Where the output is no terminal it is told once. A client in brackets is not connected. The
    last column shows the last twenty seconds: three quarters of the height is the threshold.
    """
    if as_json:
        print_json(control.ask(state, control.Top(most)))
    elif not sys.stdout.isatty():
        _once(control.ask(state, control.Top(most)))
    else:
        _live(state)


def _once(answer: dict[str, Any]) -> None:
    from mqtt_ids.tables import line, table  # noqa: PLC0415 - beside what they show
    from mqtt_ids.top_view import HEADINGS, header, rows  # noqa: PLC0415 - loads numpy

    for text in header(answer):
        line(text)
    line("")
    table(HEADINGS, rows(answer), "No client is known yet.")


def _live(state: Path) -> None:
    """Until q or Ctrl-C, whether the agent is there or not. The terminal is left as it was."""
    from mqtt_ids.top_view import Board  # noqa: PLC0415 - loads numpy

    console = Console()
    board = Board(blocks="utf" in (console.encoding or "").lower())
    with (
        contextlib.suppress(KeyboardInterrupt),
        _terminated_as_interrupted(),
        _keys() as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            due = time.monotonic() + EVERY
            try:
                board.take(control.ask(state, control.Top(ASKED), PATIENCE))
            except ControlError as error:
                board.missed(str(error))
            live.update(board.picture(console.height), refresh=True)
            if pressed(due) == "q":
                return


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, too, leaves the terminal as it was."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """What waits for a key until then, and tells it; an empty word where none came.

    Where nobody can press one, it only waits.
    """
    if not sys.stdin.isatty():
        yield _wait
        return
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield lambda until: _key(terminal, until)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _wait(until: float) -> str:
    time.sleep(max(until - time.monotonic(), 0.0))
    return ""


def _key(terminal: int, until: float) -> str:
    ready, _, _ = select.select([terminal], [], [], max(until - time.monotonic(), 0.0))
    return os.read(terminal, 1).decode("ascii", "replace").lower() if ready else ""
