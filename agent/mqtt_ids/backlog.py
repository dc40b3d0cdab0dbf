"""How far a sensor is behind what happens."""

from typing import Protocol


class Backlog(Protocol):
    """What waits to be told, and what never will be."""

    @property
    def lag(self) -> float:
        """How many seconds it takes to catch up."""

    @property
    def skipped(self) -> int:
        """How many events were left out, for they were too many."""
