"""Programs of the system that we run: found, given text, and never waited for too long."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Sequence

SYSTEM = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin:/bin"
PATIENCE = 5.0  # seconds


class ProgramFailed(Exception):  # noqa: N818 - the program did, not we
    """One line of what the program said."""


def find(program: str) -> str | None:
    """Where it is: Debian keeps such programs where a service's PATH may not reach."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM}")


async def run(program: str, arguments: Sequence[str], text: str = "") -> str:
    """What it prints, given `text`. Raises ProgramFailed."""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise ProgramFailed(f"{program}: {error.strerror}") from None
    try:
        async with asyncio.timeout(PATIENCE):
            out, complaint = await process.communicate(text.encode())
    except TimeoutError:
        raise ProgramFailed(f"{program}: no end within {PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise ProgramFailed(lines[0][:200] if lines else f"exit code {process.returncode}")
    return out.decode(errors="replace")
