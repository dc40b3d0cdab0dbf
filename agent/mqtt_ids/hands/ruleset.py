"""What nft is given: a table of our own, in which banned addresses run out by themselves."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

_LONGEST = 365 * 86_400  # seconds
_HOOK = "{ type filter hook input priority -10; policy accept; }"


class Ruleset:
    """The text for one broker's ports; two agents beside one broker share its table."""

    def __init__(self, ports: Iterable[int]) -> None:
        numbers = sorted(set(ports))
        self.table = "_".join(["mqtt_ids", *map(str, numbers)])
        self._ports = ", ".join(map(str, numbers))

    def make(self) -> str:
        """The table with its sets and its chain; what is there already stays."""
        return "\n".join(
            [
                f"add table inet {self.table}",
                f"add set inet {self.table} banned4 {{ type ipv4_addr; flags timeout; }}",
                f"add set inet {self.table} banned6 {{ type ipv6_addr; flags timeout; }}",
                f"add chain inet {self.table} input {_HOOK}",
                f"flush chain inet {self.table} input",
                self._rule("ip", "banned4"),
                self._rule("ip6", "banned6"),
                "",
            ]
        )

    def _rule(self, family: str, name: str) -> str:
        return (
            f"add rule inet {self.table} input tcp dport {{ {self._ports} }}"
            f" {family} saddr @{name} reject with tcp reset"
        )

    def change(self, banned: Mapping[str, float], lifted: Iterable[str]) -> str:
        """These addresses banned for so many seconds from now on, and those no more.

        Raises ValueError for what is no address, or has a scope (fe80::1%eth0).
        """
        lines: list[str] = []
        for address in (*lifted, *banned):
            # Added first: to take away what is not there would be an error.
            lines += [self._element("add", address), self._element("delete", address)]
        for address, seconds in banned.items():
            length = min(max(int(seconds + 0.999), 1), _LONGEST)
            lines.append(self._element("add", address, f" timeout {length}s"))
        return "\n".join([*lines, ""])

    def _element(self, verb: str, address: str, timeout: str = "") -> str:
        parsed = ip_address(address)  # whatever is no address never reaches the program
        if "%" in address:  # a scope may be any text
            raise ValueError(f"{address[:64]!r} has a scope")
        return f"{verb} element inet {self.table} banned{parsed.version} {{ {parsed}{timeout} }}"

    def remove(self) -> str:
        """The table gone."""
        return f"delete table inet {self.table}\n"
