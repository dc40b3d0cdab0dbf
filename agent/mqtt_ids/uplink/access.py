"""Where the broker is, who we are there, and with which certificates.

The password is read anew for each connection, so that a corrected file needs no restart. It never
becomes part of anything that is shown.
"""

import os
import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mqtt_ids.errors import SettingsError
from mqtt_ids.readers import HostPort, broker_url
from mqtt_ids.settings import Tls

__all__ = ["PASSWORD", "Access", "PasswordUnreadable"]

PASSWORD = "MQTT_IDS_PASSWORD"  # noqa: S105 - the variable's name
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
LONGEST = 65_535  # bytes of a password in MQTT


class PasswordUnreadable(Exception):  # noqa: N818 - a state: tried again
    """The password file cannot be used now; the message is one line that says why."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Access:
    """How to reach a broker. Its repr shows no password, for it holds none.

    `introduce` gives the bytes that a connection begins with, from our end of it and the broker's.
    """

    scheme: str
    address: HostPort
    path: str
    username: str | None
    password_file: Path | None
    tls: Tls
    introduce: Callable[[tuple[str, int], tuple[str, int]], bytes] | None = None

    @classmethod
    def of(cls, url: str, *, password_file: Path | None = None, tls: Tls | None = None) -> "Access":
        """Read a URL such as mqtts://user@host:8883. Raises SettingsError."""
        try:
            parts = urlsplit(broker_url(url))
        except ValueError as error:
            raise SettingsError(f"broker: {error}") from None
        web = parts.scheme in {"ws", "wss"}
        if parts.query or parts.fragment or (not web and parts.path not in {"", "/"}):
            raise SettingsError(f"broker: nothing may follow the port; expected {_bare(url)}")
        access = cls(
            scheme=parts.scheme,
            address=HostPort(parts.hostname or "", parts.port or PORTS[parts.scheme]),
            path=parts.path or "/mqtt",
            username=unquote(parts.username) if parts.username else None,
            password_file=password_file,
            tls=tls or Tls(),
        )
        access.check()
        return access

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme in {"mqtts", "wss"}

    @property
    def web(self) -> bool:
        """Whether MQTT goes through a WebSocket."""
        return self.scheme in {"ws", "wss"}

    def __repr__(self) -> str:
        """As the URL that was given."""
        user = f"{self.username}@" if self.username else ""
        return f"{self.scheme}://{user}{self.address}{self.path if self.web else ''}"

    def check(self) -> None:
        """Raises SettingsError for what can never work, whatever the broker says."""
        tls = self.tls
        if not self.encrypted and (tls.ca or tls.cert or tls.key):
            secure = "wss" if self.web else "mqtts"
            raise SettingsError(f"tls: only for encrypted connections; expected {secure}://…")
        if tls.key and not tls.cert:
            raise SettingsError("tls.key: stands without tls.cert; expected both")
        if self.username is None and (self.password_file or os.environ.get(PASSWORD)):
            raise SettingsError(
                f"broker: a password is given (password_file or {PASSWORD}) but no user;"
                f" expected {self.scheme}://USER@{self.address}"
            )
        if self.encrypted:
            self.context()

    def context(self) -> ssl.SSLContext:
        """TLS as configured: the broker must prove its name. Raises SettingsError.

        Files that were renewed are read again, and only then: the system's own take a second.
        """
        files = (self.tls.ca, self.tls.cert, self.tls.key)
        return _context(*files, tuple(_changed(file) for file in files))

    def password(self, environ: Mapping[str, str] = os.environ) -> str | None:
        """The password of this moment: the environment's, else the file's first line.

        Raises PasswordUnreadable.
        """
        if self.username is None:
            return None
        if environ.get(PASSWORD):
            return environ[PASSWORD]
        return None if self.password_file is None else _first_line(self.password_file)

    def warning(self) -> str | None:
        """One line if others on this machine can read the password."""
        file = self.password_file
        if file is None or self.username is None:
            return None
        try:
            mode = file.stat().st_mode
        except OSError:
            return None  # told when it is read
        if not mode & stat.S_IROTH:
            return None
        return f"{file}: everybody here can read the password; expected mode 0600: chmod 600 {file}"


@lru_cache(maxsize=4)
def _context(
    ca: Path | None, cert: Path | None, key: Path | None, _changed: tuple[int | None, ...]
) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        raise _unusable("ca", ca, error) from None
    if cert:
        try:
            # Without a function OpenSSL would ask on the terminal for a key's passphrase.
            context.load_cert_chain(cert, key, password=lambda: "")
        except (OSError, ValueError) as error:
            raise _unusable("cert", f"{cert}, {key}" if key else cert, error) from None
    return context


def _changed(file: Path | None) -> int | None:
    try:
        return None if file is None else file.stat().st_mtime_ns
    except OSError:
        return None  # told when it is read


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _first_line(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PasswordUnreadable(f"{file}: the password file is no plain file")
            line = stream.readline(LONGEST + 2).rstrip(b"\r\n")
    except OSError as error:
        raise PasswordUnreadable(f"{file}: the password cannot be read: {error.strerror}") from None
    if not line or len(line) > LONGEST:
        raise PasswordUnreadable(f"{file}: expected the password in the first line")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise PasswordUnreadable(f"{file}: the password must be UTF-8") from None


def _unusable(key: str, file: object, error: Exception) -> SettingsError:
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return SettingsError(f"tls.{key}: {file}: cannot be read: {error.strerror}")
    reason = (getattr(error, "reason", None) or "no certificate in it").lower().replace("_", " ")
    return SettingsError(
        f"tls.{key}: {file}: expected PEM, with a key without passphrase: {reason}"
    )
