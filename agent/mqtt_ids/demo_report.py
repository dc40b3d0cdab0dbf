"""What the demo's attacks came to: found or not, how soon, named how, and whom it cost anything.

Judged by what a subscriber of the alerts reads, and by what the home's clients felt.
"""

from collections.abc import Iterable, Mapping

import msgspec

CALM = "none"  # what stands for an attack while nobody attacks
NOTE = "info"


class _Reason(msgspec.Struct, frozen=True):
    """Why it is one, in words."""

    text: str


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What of an alert is looked at, besides its reasons."""

    id: str
    state: str
    severity: str
    attack: str
    client_id: str | None
    address: str | None
    clients: tuple[str, ...]
    client_count: int


class _Wire(_Seen, frozen=True, kw_only=True):
    """An alert as it is sent."""

    reasons: tuple[_Reason, ...]


class Sighting(_Seen, frozen=True, kw_only=True):
    """An alert as a subscriber reads it, received at `at` (seconds, the demo's clock)."""

    at: float
    reasons: tuple[str, ...]

    @classmethod
    def decode(cls, data: bytes, at: float) -> "Sighting":
        """From an alert's JSON, schema 1: the parts that the demo looks at."""
        wire = msgspec.json.decode(data, type=_Wire)
        reasons = tuple(reason.text for reason in wire.reasons)
        return cls(**{**msgspec.structs.asdict(wire), "reasons": reasons}, at=at)

    @property
    def alarms(self) -> bool:
        """Whether it is more than a note."""
        return self.severity != NOTE


class Trial:
    """One attack, from one address, and what was said about it.

    `attack` is its true name, or `CALM` while nobody attacks; then `address` is None.
    """

    def __init__(self, attack: str, address: str | None) -> None:
        self.attack = attack
        self.address = address
        self.began: float | None = None  # when its first packet was sent
        self.over = False
        self.disturbed: set[str] = set()  # calm clients
        self._detected: float | None = None
        self._names: dict[str, str] = {}  # by incident, the latest

    def see(self, sighting: Sighting) -> None:
        """Take in an alert about this attacker."""
        if self._detected is None:
            self._detected = sighting.at
        self._names[sighting.id] = sighting.attack

    @property
    def detected_after(self) -> float | None:
        """Seconds from its first packet to the first alert, or None."""
        if self._detected is None or self.began is None:
            return None
        return max(0.0, self._detected - self.began)

    @property
    def names(self) -> tuple[str, ...]:
        """What its incidents are called by now."""
        return tuple(sorted(set(self._names.values())))

    @property
    def recognised(self) -> bool:
        """Whether it was found and has its true name, and no other."""
        return self.names == (self.attack,)

    @property
    def passed(self) -> bool:
        """Whether all went as it should."""
        found = self.attack == CALM or self.recognised
        return found and not self.disturbed


class Report:
    """All trials. `calm` maps the id of each calm client to its address."""

    def __init__(self, calm: Mapping[str, str], addresses: Iterable[str]) -> None:
        self._ids = frozenset(calm)
        self._at: dict[str, list[str]] = {address: [] for address in addresses}
        for client_id, address in calm.items():
            self._at.setdefault(address, []).append(client_id)
        self.trials: list[Trial] = [Trial(CALM, None)]

    @property
    def current(self) -> Trial:
        """The latest trial."""
        return self.trials[-1]

    def begin(self, attack: str, address: str) -> Trial:
        """The next attack is about to begin. It must come from an address of its own."""
        if address in self._at or any(trial.address == address for trial in self.trials):
            raise ValueError(f"{address} is somebody else's")
        self.trials.append(Trial(attack, address))
        return self.current

    def see(self, sighting: Sighting) -> None:
        """Judge an alert; notes do not count."""
        if not sighting.alarms:
            return
        attackers = [t for t in self.trials if t.address is not None]
        about = next((t for t in attackers if t.address == sighting.address), None)
        if about is not None:
            about.see(sighting)
        named = self._calm_in(sighting)
        if about is None and not named:  # about nobody who is there
            named = {sighting.client_id or sighting.address or "nobody"}
        self.current.disturbed |= named

    def lose(self, client_id: str) -> None:
        """A calm client lost its connection, or was refused."""
        self.current.disturbed.add(client_id)

    @property
    def passed(self) -> bool:
        """Whether every attack was found and rightly named, and nobody was disturbed."""
        return all(trial.passed for trial in self.trials)

    def _calm_in(self, sighting: Sighting) -> set[str]:
        named = {sighting.client_id, *sighting.clients} & self._ids
        if sighting.address in self._at:
            named |= set(self._at[sighting.address]) or {sighting.address}
        return {name for name in named if name is not None}
