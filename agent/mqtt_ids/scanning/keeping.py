"""The event log of a scan, written by the way: where that fails, the scan goes on without it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent
from mqtt_ids.sources.event_log import Writer


class Keeping(AbstractContextManager["Keeping"]):
    """Writes events down as they pass. A full disk must not end the watch: `complain` is told.

    `failed` says that there is no log, once the context is left.
    """

    def __init__(self, writer: Writer, complain: Callable[[str], None]) -> None:
        self._writer = writer
        self._complain = complain
        self.failed = False

    def through(self, events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
        """The same events, written down as long as that is possible."""
        for event in events:
            if not self.failed:
                try:
                    self._writer.write(event)
                except CaptureError as error:
                    self._fail(error)
            yield event

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """The log gets its name, or is removed after an error."""
        try:
            self._writer.__exit__(kind, value, traceback)
        except CaptureError as error:
            self._fail(error)

    def _fail(self, error: CaptureError) -> None:
        self.failed = True
        self._complain(str(error))
