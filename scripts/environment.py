"""Makes a virtual environment that holds the project's built wheel, and keeps it current.

    python3 scripts/environment.py .venv --extras dev
    python3 scripts/environment.py .venv-tflite-runtime --extras test,tflite-runtime \
        --without ai-edge-litert

Nothing is done where nothing changed. A change of pyproject.toml, of this script or of the Python
makes the environment anew; a change of the sources only builds and installs the wheel again. Needs
nothing beyond the standard library. Runs that overlap wait for each other.
"""

import argparse
import fcntl
import hashlib
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"


class Environment:
    """One environment: its folder, and the two stamps that tell what was put into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.made_of = folder / "made-of"
        self.wheel_of = folder / "wheel-of"

    def make(self) -> None:
        """An empty environment with pip and what builds the wheel; an old one is removed."""
        version = sys.version.split()[0]
        print(f"making {self.folder.name} (Python {version}), about half a minute ...", flush=True)
        run(sys.executable, "-m", "venv", "--clear", self.folder)
        self.pip("install", *tomllib.loads(PROJECT.read_text())["build-system"]["requires"])

    def pip(self, *arguments: str) -> None:
        """Runs pip; only its warnings and errors are shown."""
        quiet = ("-q", "--disable-pip-version-check", "--no-input")
        run(self.python, "-m", "pip", *quiet, *arguments)

    def install(self, extras: str | None) -> None:
        """Builds the wheel and installs it: with what it needs, or alone where `extras` is None."""
        with tempfile.TemporaryDirectory() as out:
            self.pip("wheel", "--no-deps", "--no-build-isolation", "-w", out, str(ROOT))
            (wheel,) = Path(out).glob("*.whl")
            if extras is None:
                self.pip("install", "--no-deps", "--force-reinstall", str(wheel))
            else:
                self.pip("install", f"{wheel}[{extras}]")


def run(*command: str | Path) -> None:
    """Runs a command in the project's folder; CalledProcessError where it fails."""
    subprocess.run(command, check=True, cwd=ROOT)


def digest(paths: Iterable[Path], *more: str) -> str:
    """One hash over the files' names and contents, and over `more`."""
    parts = hashlib.sha256("\0".join(more).encode())
    for path in sorted(paths):
        parts.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return parts.hexdigest()


def sources() -> Iterator[Path]:
    """The files that the wheel is built from."""
    yield from (ROOT / "README.md", ROOT / "LICENSE")
    for root in ("agent", "plugin", "model"):
        for path in (ROOT / root).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def current(stamp: Path, wanted: str) -> bool:
    """Whether the stamp exists and says `wanted`."""
    return stamp.is_file() and stamp.read_text() == wanted


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the environment's lock; it is dropped when the process ends, however it ends."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def update(env: Environment, extras: str, without: list[str]) -> None:
    """Brings the environment up to date. A stamp is written last, so a broken run starts over."""
    made_of = digest([PROJECT, Path(__file__)], sys.version, sys.base_prefix, extras, *without)
    wheel_of = digest(sources())
    if not current(env.made_of, made_of):
        env.make()
        env.install(extras)
        if without:
            env.pip("uninstall", "-y", *without)
        env.wheel_of.write_text(wheel_of)
        env.made_of.write_text(made_of)
    elif not current(env.wheel_of, wheel_of):
        env.wheel_of.unlink(missing_ok=True)
        env.install(extras=None)
        env.wheel_of.write_text(wheel_of)


def main() -> int:
    """The command line; 1 where a step failed, whose own words are then on standard error."""
    parser = argparse.ArgumentParser(description="make or update a virtual environment")
    parser.add_argument("folder", help="name of the environment in the project's folder")
    parser.add_argument("--extras", required=True, help="extras to install, with commas")
    parser.add_argument("--without", action="append", default=[], help="package to take out again")
    chosen = parser.parse_args()
    folder = ROOT / chosen.folder
    try:
        with locked(folder):
            update(Environment(folder), chosen.extras, chosen.without)
    except subprocess.CalledProcessError as error:
        print(f"{folder.name} could not be made: {error.cmd[0]} failed, see above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
