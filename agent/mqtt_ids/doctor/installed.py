"""What the configuration of a Mosquitto on this very machine says, where it can be read."""

from ipaddress import ip_address
from pathlib import Path

from mqtt_ids.readers import HostPort

__all__ = ["CONFIGURATION", "configured_log"]

CONFIGURATION = Path("/etc/mosquitto/mosquitto.conf")
MOST = 262_144  # bytes of a file
DEFAULT_PORT = 1883


def configured_log(configuration: Path, broker: HostPort) -> str | None:
    """The file that it logs to, if this is the broker's configuration."""
    if not _is_here(broker.host):
        return None
    settings = [line.split(maxsplit=1) for line in _lines(configuration)]
    pairs = [(words[0], words[1].strip()) for words in settings if len(words) > 1]
    ports = [value.split()[0] for key, value in pairs if key in {"listener", "port"}]
    if str(broker.port) not in (ports or [str(DEFAULT_PORT)]):
        return None
    files = [value.split(maxsplit=1) for key, value in pairs if key == "log_dest"]
    return next((words[1] for words in files if words[0] == "file" and len(words) > 1), None)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _lines(configuration: Path) -> list[str]:
    """Its lines and those of its include_dir, without comments; none where it cannot be read."""
    lines = _read(configuration)
    folders = [line.split(maxsplit=1)[1] for line in lines if line.startswith("include_dir ")]
    for folder in folders:
        try:
            files = sorted(Path(folder.strip()).glob("*.conf"))
        except OSError:
            continue
        for file in files:
            lines += _read(file)
    return lines


def _read(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MOST).decode("utf-8", "replace")
    except OSError:
        return []
    stripped = (line.strip() for line in text.split("\n"))
    return [line for line in stripped if line and not line.startswith("#")]
