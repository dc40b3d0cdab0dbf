"""What every step of an examination needs: who we are there, our main connection, and names."""

from dataclasses import dataclass

from mqtt_ids.doctor.call import SOON, Call
from mqtt_ids.settings import Settings
from mqtt_ids.uplink.access import Access


@dataclass(frozen=True)
class Visit:
    """One examination. `token` makes our names unlike anybody's."""

    settings: Settings
    access: Access
    main: Call
    token: str

    @property
    def topic(self) -> str:
        """A topic that nobody else knows, and that no rule is likely to name."""
        return f"$ids-doctor/{self.token}"

    def name(self, role: str) -> str:
        """A client id of ours."""
        return f"mqtt-ids-doctor-{role}-{self.token}"

    def comes_back(self, topic: str, payload: bytes) -> bool:
        """Whether our main connection gets this message soon."""
        return arrives(self.main, topic, payload)


def arrives(at: Call, topic: str, payload: bytes) -> bool:
    """Whether this message gets there soon."""
    return at.until(lambda: at.has(topic, payload), SOON)
