"""Whom the settings say never to act upon."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import ip_address

from mqtt_ids.names import canonical, short
from mqtt_ids.settings import Allow


def allowed(
    allow: Allow,
    *,
    client_ids: Iterable[str],
    username: str | None,
    address: str | None,
    topics: Iterable[str],
) -> str | None:
    """Which of these names stands on the allow-list, as a sentence; None where none does."""
    candidates = (
        ("client", client_ids, allow.client_ids),
        ("user", () if username is None else (username,), allow.usernames),
        ("topic", topics, allow.topics),
    )
    for what, names, patterns in candidates:
        for name in names:
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return f"{what} {short(name)} is on the allow-list"
    if address is not None and _within(address, allow):
        return f"address {address} is on the allow-list"
    return None


def _within(address: str, allow: Allow) -> bool:
    try:
        parsed = ip_address(canonical(address))
    except ValueError:
        return False
    return any(parsed in network for network in allow.addresses)
