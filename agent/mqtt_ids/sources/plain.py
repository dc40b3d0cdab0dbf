"""JSON in which nothing is a command to a terminal, should it be shown on one."""

import re
from typing import Final

# Beyond ASCII, and DEL; what is below a space is escaped by every writer of JSON.
_DOUBTFUL: Final = re.compile(r"[^\x00-\x7e]")


def plain(text: bytes) -> bytes:
    """`text`, which is JSON, with escapes for what does not print: the same to whoever parses it.

    Ids and topics are an attacker's words: they may turn the direction of writing, or hold the
    control characters above ASCII.
    """
    if text.isascii() and b"\x7f" not in text:
        return text
    return _DOUBTFUL.sub(_shown, text.decode()).encode()


def _shown(found: re.Match[str]) -> str:
    char = found[0]
    if char.isprintable():
        return char
    units = char.encode("utf-16-be")  # two of them beyond the first 65,536 characters
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
