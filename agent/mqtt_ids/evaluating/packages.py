"""The packages that only an evaluation needs. They come with the extra `evaluate`."""

import importlib.util
from typing import Final

from mqtt_ids.errors import IdsError

PACKAGES: Final = ("jinja2", "matplotlib", "scipy", "sklearn")


def needed() -> None:
    """Raises IdsError, in one line, where a package of the extra is missing."""
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise IdsError(
            "an evaluation needs more packages; install them with: pip install 'mqtt-ids[evaluate]'"
        )
