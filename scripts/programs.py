"""Installs the programs that tests talk to, where this is a Debian and we are root.

    python3 scripts/programs.py

Elsewhere it says what is missing; the tests that need it then skip, and say so too. Nothing is
done where nothing is missing. Services that come with a package are not started.
"""

import os
import shutil
import subprocess
import sys

PACKAGES = {  # program: Debian's package
    "mosquitto": "mosquitto",
    "mosquitto_ctrl": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "nft": "nftables",
    "ip": "iproute2",
    "logrotate": "logrotate",
    "openssl": "openssl",
}
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def main() -> int:
    """Install what is missing, or say what it is."""
    missing = {
        package for program, package in PACKAGES.items() if not shutil.which(program, path=PATH)
    }
    if not missing:
        return 0
    names = sorted(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"some tests will skip; for all of them install: {' '.join(names)}", file=sys.stderr)
        return 0
    print(f"installing {', '.join(names)} ...", flush=True)
    # At this runlevel Debian starts no service that it has just installed.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (
        ("apt-get", "-q", "-q", "update"),
        ("apt-get", "-q", "-q", "install", "-y", "--no-install-recommends", *names),
    ):
        done = subprocess.run(command, env=quiet, check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            print(f"{' '.join(command)} failed; some tests will skip", file=sys.stderr)
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
