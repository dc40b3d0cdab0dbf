"""How the names of clients are spelled: one way each to compare, and short enough to show."""

import hashlib
from ipaddress import IPv6Address, ip_address

SHOWN = 64  # characters; an attacker may have chosen 65,535
LONGEST = 256  # characters of an id or user name that we hold
STAND_IN = "?"  # begins what stands for the address of one whose address was not seen
_DIGEST = 8  # bytes


def canonical(address: str) -> str:
    """An address as it is compared: one spelling each, IPv4 within IPv6 as IPv4.

    What is no address (a Unix socket's peer) is returned as it is.
    """
    if ":" not in address:  # IPv4 has one spelling; this is asked for each connection
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    inner = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(parsed if inner is None else inner)


def is_address(name: str) -> bool:
    """Whether this is an IP address, and no stand-in for one that is not known."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def known_address(address: str | None) -> str | None:
    """An address for people: None for a sensor's stand-in, see `STAND_IN`."""
    return None if address is not None and address.startswith(STAND_IN) else address


def bounded(name: str) -> str:
    """An id or user name as we hold and compare it: a digest ends one that is too long.

    Thousands of ids of 65,535 bytes each would fill the memory; and one that is merely cut would
    not be the one that a ban has to meet.
    """
    if len(name) <= LONGEST:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=_DIGEST).hexdigest()
    return f"{name[: LONGEST - len(digest) - 1]}~{digest}"


def short(name: str) -> str:
    """A name for a sentence."""
    return name if len(name) <= SHOWN else f"{name[: SHOWN - 3]}..."
