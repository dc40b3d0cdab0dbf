"""The log, by file and by topics, looked through for what one client of ours did."""

import grp
import os
import pwd
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from mqtt_ids.doctor.call import Got
from mqtt_ids.doctor.findings import LogFile, LogState, Sight, Storage
from mqtt_ids.events import AnyEvent, Connected, Published, Subscribed
from mqtt_ids.sensors.mosquitto.follow import Follower
from mqtt_ids.sensors.mosquitto.reader import Reader

__all__ = ["FileWatch", "TopicWatch"]

LOG = "$SYS/broker/log/"
_MOUNTS = Path("/proc/self/mountinfo")


class _Sighting:
    """What events tell of one client."""

    def __init__(self, client_id: str) -> None:
        self.sight = Sight()
        self._client_id = client_id

    def take(self, events: Iterable[AnyEvent]) -> None:
        for event in events:
            if event.client_id != self._client_id:
                continue
            # One that is only met later in its life has no port.
            self.sight |= Sight(
                connects=isinstance(event, Connected) and event.port > 0,
                subscriptions=isinstance(event, Subscribed),
                packets=isinstance(event, Published),
            )


class TopicWatch:
    """Looks through messages on the log topics."""

    def __init__(self, client_id: str) -> None:
        self._sighting = _Sighting(client_id)
        self._reader = Reader()

    def look(self, messages: Iterable[Got]) -> Sight:
        """What all of these show; to be given each message once."""
        for one in messages:
            if one.topic.startswith(LOG):
                level = one.topic.removeprefix(LOG)
                events = self._reader.read_topic(level, one.payload, time.monotonic())
                self._sighting.take(events)
        self._sighting.take(self._reader.pass_time(time.monotonic()))
        return self._sighting.sight


class FileWatch:
    """Looks through what comes into a file from the time of making on."""

    def __init__(self, path: Path, client_id: str) -> None:
        self.path = path
        self._follower = Follower(path)
        self._reader = Reader()
        self._sighting = _Sighting(client_id)

    def look(self) -> Sight:
        """What it shows so far."""
        while True:
            lines = list(self._follower.read())
            self._sighting.take(self._reader.read(lines, time.monotonic()))
            if not lines:
                break
        self._sighting.take(self._reader.pass_time(time.monotonic()))
        return self._sighting.sight

    def close(self) -> LogFile:
        """What became of it."""
        sight = self.look()
        why = self._follower.state
        self._follower.close()
        state: LogState = "read" if sight.anything else "silent"
        if why is not None:
            state = "unreadable" if _is_there(self.path) else "missing"
        return describe(self.path, state, why, sight)


def describe(path: Path, state: LogState, why: str | None, sight: Sight) -> LogFile:
    """The file with all that the system tells of it."""
    owner = group = mode = size = None
    with suppress(OSError):
        status = path.stat()
        owner = _name(lambda: pwd.getpwuid(status.st_uid).pw_name, status.st_uid)
        group = _name(lambda: grp.getgrgid(status.st_gid).gr_name, status.st_gid)
        mode, size = status.st_mode & 0o7777, status.st_size
    user = os.geteuid()
    return LogFile(
        path=str(path.absolute()),
        state=state,
        why=why,
        sight=sight,
        owner=owner,
        group=group,
        mode=mode,
        size=size,
        user=_name(lambda: pwd.getpwuid(user).pw_name, user),
        storage=storage(path),
    )


def storage(path: Path, mounts: Path = _MOUNTS) -> Storage | None:
    """On what the file lies; None where that cannot be told."""
    try:
        folder = path.absolute().parent.resolve()
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found: tuple[int, str, str] | None = None
    for line in lines:  # proc(5): ... MOUNT-POINT OPTIONS ... - TYPE SOURCE ...
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace("\\040", " "))
        depth = len(point.parts)
        if folder.is_relative_to(point) and (found is None or depth >= found[0]):
            kind, source = after.split()[:2]
            found = depth, kind, source
    if found is None:
        return None
    if found[1] in {"tmpfs", "ramfs"}:
        return "ram"
    return "card" if Path(found[2]).name.startswith("mmcblk") else "disk"


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:  # in a folder that is closed to us
        return True
    return True


def _name(look_up: Callable[[], str], number: int) -> str:
    try:
        return look_up()
    except KeyError:
        return str(number)
