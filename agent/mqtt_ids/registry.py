"""The tracked subjects of one role, by key.

Bounded: at most `limit` clients and `limit` hosts. A host may fill a quarter of the clients; a
newcomer beyond that takes the place of one that came there once and went, else it is counted for
its host only. When all places are taken the subject unseen for longest that is not connected makes
room, so a thousand made-up ids cannot push out a home.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from mqtt_ids.subjects import ClientSubject, HostSubject

_SEARCHED = 64  # how many of the longest unseen are looked at for one to evict: O(1)

S = TypeVar("S", ClientSubject, HostSubject)


class Registry(Generic[S]):
    """Subjects by key, least recently seen first, each with a row that is reused when freed."""

    def __init__(self, limit: int, forgotten: Callable[[S], None]) -> None:
        """`forgotten` is told of each subject that loses its place."""
        self._limit = limit
        self._tell: Callable[[S], None] = forgotten
        self._subjects: OrderedDict[str, S] = OrderedDict()
        self._free: list[int] = []

    @property
    def limit(self) -> int:
        """How many there may be."""
        return self._limit

    def __len__(self) -> int:
        return len(self._subjects)

    def __iter__(self) -> Iterator[S]:
        return iter(self._subjects.values())

    def get(self, key: str) -> S | None:
        """The subject with this key, if tracked."""
        return self._subjects.get(key)

    def touch(self, key: str) -> None:
        """Note that the subject was just seen, so that it is forgotten last."""
        self._subjects.move_to_end(key)

    def add(self, key: str, make: Callable[[int], S]) -> S | None:
        """Track a new subject made by `make(row)`; None when every place is in use."""
        if len(self._subjects) >= self._limit and not self._forget_one():
            return None
        return self.place(key, make)

    def place(self, key: str, make: Callable[[int], S]) -> S:
        """Track a new subject made by `make(row)` where there is surely room for it."""
        row = self._free.pop() if self._free else len(self._subjects)
        subject = self._subjects[key] = make(row)
        return subject

    def forget_first(self, fits: Callable[[S], bool]) -> bool:
        """Forget the longest unseen that `fits` and is not connected, if one is soon found."""
        for key, subject in islice(self._subjects.items(), _SEARCHED):
            if not subject.connected and fits(subject):
                self.remove(key)
                return True
        return False

    def remove(self, key: str) -> S | None:
        """Forget the subject with this key; its row is free for another."""
        subject = self._subjects.pop(key, None)
        if subject is not None:
            subject.tracked = False
            self._free.append(subject.row)
            self._tell(subject)
        return subject

    def expire(self, before: float) -> None:
        """Forget all that were last seen before then and are not connected. Looks at each."""
        old = [
            key for key, one in self._subjects.items() if one.last < before and not one.connected
        ]
        for key in old:
            self.remove(key)

    def every(self, tick: int, nth: int) -> list[S]:
        """Every `nth` subject, others at each `tick`, so that all have their turn."""
        turn = tick % nth
        return [s for s in self._subjects.values() if s.row % nth == turn]

    def _forget_one(self) -> bool:
        for _ in range(min(_SEARCHED, len(self._subjects))):
            key, subject = next(iter(self._subjects.items()))
            if not subject.connected:
                self.remove(key)
                return True
            self._subjects.move_to_end(key)
        return False
