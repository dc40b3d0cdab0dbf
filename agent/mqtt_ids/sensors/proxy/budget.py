"""What is held for clients that have not proved anything: bounded in all, not only for each."""

from typing import Protocol


class Holder(Protocol):
    """One that holds something."""

    def give_up(self) -> None:
        """Hold nothing any more, and go."""


class Budget:
    """Bytes that are held of all clients together: where it is too much, the largest has to go.

    Of those that are as large, it is the one that has held so much for longest.
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        self._most = most
        self._held: dict[Holder, int] = {}

    def hold(self, holder: Holder, count: int) -> None:
        """So much is now held of this one."""
        before = self._held.pop(holder, 0)
        self.total += count - before
        if count:
            self._held[holder] = count
        while self.total > self._most:
            largest = max(self._held, key=self._held.__getitem__)
            self.total -= self._held.pop(largest)
            largest.give_up()
