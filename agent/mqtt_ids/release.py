"""Which release of mqtt-ids this is."""

from importlib import metadata

UNKNOWN = "unknown"


def release() -> str:
    """The installed version; `unknown` where the source tree runs without being installed."""
    try:
        return metadata.version("mqtt-ids")
    except metadata.PackageNotFoundError:
        return UNKNOWN
