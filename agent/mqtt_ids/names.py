"""How the names of clients are spelled: one way each to compare, and short enough to show."""

from ipaddress import IPv6Address, ip_address

SHOWN = 64  # characters; an attacker may have chosen 65,535


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


def short(name: str) -> str:
    """A name for a sentence."""
    return name if len(name) <= SHOWN else f"{name[: SHOWN - 3]}..."
