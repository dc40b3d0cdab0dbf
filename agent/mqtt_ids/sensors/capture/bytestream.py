"""A file or pipe read forwards, by pieces that are whole."""

import io
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 262_144  # bytes asked for at once; a pipe gives what it has


class Damage(Exception):  # noqa: N818  # the readers' own: files.frames makes a CaptureError of it
    """What comes next cannot be read; the message ends a sentence about the file."""


class ByteStream(io.RawIOBase):
    """What was read of a stream and not yet used.

    `data` holds it; who reads frames keeps the place in it, so that a loop needs no call for each.
    As a raw stream it gives the rest, to unpack it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.data = b""
        # read1 gives what a pipe has; an unbuffered stream's read does so by itself.
        self._read = getattr(stream, "read1", stream.read)

    def fill(self, at: int, size: int, short: str = "cut off in the middle of a frame") -> bool:
        """Forget what lies before `at`, and hold at least `size` bytes from there on.

        False where the stream ends right at `at`. Damage where it ends within the `size` bytes
        (`short` says so) or cannot be read.
        """
        held = bytearray(self.data[at:])
        while len(held) < size and (more := self._more()):
            held += more
        self.data = bytes(held)
        if 0 < len(held) < size:
            raise Damage(short)
        return bool(held)

    def readable(self) -> bool:
        """True, as io.BufferedReader asks."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """What is held, or else what comes next. Damage where the stream cannot be read."""
        room = memoryview(buffer).cast("B")
        data = self.data or self._more()
        taken = data[: len(room)]
        room[: len(taken)] = taken
        self.data = data[len(taken) :]
        return len(taken)

    def _more(self) -> bytes:
        try:
            return bytes(self._read(CHUNK) or b"")
        except EOFError:
            raise Damage("cut off in the middle of its gzip stream") from None
        except (OSError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
            raise Damage(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
