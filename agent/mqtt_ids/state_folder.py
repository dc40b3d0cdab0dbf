"""The state folder: made if need be, safe to write to, and used by one process at a time."""

import fcntl
import os
import stat
from pathlib import Path

from mqtt_ids.errors import StateError


class StateFolder:
    """A folder that this process alone uses, from `open` to `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder (mode 0700) where there is none, and lock it. Raises StateError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.path.stat().st_mode
            if mode & stat.S_IWOTH:
                raise StateError(
                    f"state_dir {self.path}: anybody may write to it; name a folder of its own"
                )
            self._lock = _lock(self.path)
        except OSError as error:
            raise StateError(
                f"state_dir {self.path}: cannot be used: {error.strerror}; name a folder that"
                " this user may write to, with --state or state_dir"
            ) from None

    def close(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(folder: Path) -> int:
    """The descriptor that holds the lock; it goes with the process, however that ends."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / "lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        holder = os.pread(descriptor, 16, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StateError(
            f"state_dir {folder}: in use by another mqtt-ids (process {holder}); stop that one, or"
            " name another folder with --state or state_dir"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
