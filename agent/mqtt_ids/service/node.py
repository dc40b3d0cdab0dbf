"""What tells this installation from any other: a few random letters, kept in the state folder."""

import logging
import re
import secrets
from pathlib import Path

__all__ = ["node_of"]

FILE = "node"
_RIGHT = re.compile(r"[0-9a-f]{8}")

log = logging.getLogger(__name__)


def node_of(folder: Path) -> str:
    """Eight hex digits, made at the first start. A folder that keeps nothing gets others each time.

    Whether the folder can be used at all is for the store to tell.
    """
    file = folder / FILE
    try:
        found = file.read_text(encoding="ascii", errors="replace")[:16].strip()
    except OSError:
        found = ""
    if _RIGHT.fullmatch(found):
        return found
    made = secrets.token_hex(4)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(f"{made}\n", encoding="ascii")
    except OSError as error:
        log.warning("%s: cannot be written: %s", file, error.strerror)
    return made
