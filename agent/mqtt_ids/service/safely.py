"""Whatever is wrong with us, we go on."""

import time
from collections.abc import Callable

from mqtt_ids.faults import Faults

__all__ = ["Safely"]


class Safely:
    """Does something; what it raises is told as a fault of ours, and ends nothing."""

    def __init__(self) -> None:
        self._faults = Faults()

    def __call__(self, where: str, do: Callable[[], None]) -> None:
        """`where` says what was being done."""
        try:
            do()
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._faults.caught(where, error, time.monotonic())
