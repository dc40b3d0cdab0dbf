"""One decision of a person: this was no attack."""

import msgspec


class Acceptance(msgspec.Struct, frozen=True, kw_only=True):
    """One incident that a person finds normal. `at` and `until` are wall time; None is for ever.

    `levels` are figures, in the units of the features, up to which these count for nothing:
    those of a client for `client_id`, those of a host for `address`. `facts` are kinds of facts,
    of the client if there is one, else of the address.
    """

    incident: str
    attack: str
    at: float
    until: float | None
    client_id: str | None
    address: str | None
    levels: dict[str, float]
    facts: tuple[str, ...]

    def holds(self, now: float) -> bool:
        """Whether it is in force at wall time `now`."""
        return self.until is None or now < self.until
