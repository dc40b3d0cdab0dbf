"""Ctrl-C or SIGTERM while something is read: what was read so far is still told."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from mqtt_ids.sources.files import Meter

T = TypeVar("T")


class BreakingOff(AbstractContextManager["BreakingOff"]):
    """Within this context the first Ctrl-C ends the reading, and nothing else; a second one all.

    Reading is broken off where nothing is half done: between two items of `until`, or while the
    file makes us wait. SIGTERM does the same. `code` is the exit code that shells expect then.
    """

    def __init__(self, meters: Iterable[Meter]) -> None:
        self._meters = tuple(meters)
        self._before: dict[int, Any] = {}
        self.asked = False
        self.code = 128 + signal.SIGINT

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ctrl-C means again what it meant before."""
        for number, before in self._before.items():
            signal.signal(number, before)

    def _interrupted(self, number: int, _frame: FrameType | None) -> None:
        self.code = 128 + number
        waiting = any(meter.waiting for meter in self._meters)
        if self.asked or waiting:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
        for meter in self._meters:
            meter.enough = True

    def until(self, items: Iterable[T]) -> Iterator[T]:
        """`items`, up to the first Ctrl-C."""
        try:
            for item in items:
                yield item
                if self.asked:
                    return
        except KeyboardInterrupt:
            if not self.asked:
                raise
