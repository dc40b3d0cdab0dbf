"""Speeds and sizes, as ratios within one run where they can be: `make bench`. Needs Linux."""

import os
import platform
import sys
import time
from importlib.metadata import version

import capture
import detector
import flood
import inline
import messages
import mosquitto_log
import report
import scoring

PARTS = {
    "capture": capture.run,
    "detector": detector.run,
    "mosquitto": mosquitto_log.run,
    "score": scoring.run,
    "messages": messages.run,
    "flood": flood.run,
    "inline": inline.run,
}


def main(chosen: list[str]) -> None:
    """Run the chosen parts, or all of them, and print one table."""
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise SystemExit(f"bench: {', '.join(unknown)}: expected {', '.join(PARTS)}")
    start = time.perf_counter()
    rows: list[report.Row] = []
    for name in chosen or PARTS:
        print(f"measuring: {name} ...", file=sys.stderr, flush=True)
        rows += PARTS[name]()
    print(
        f"{os.cpu_count()} {platform.machine()} cores, Python {platform.python_version()},"
        f" numpy {version('numpy')}, amqtt {version('amqtt')}\n"
    )
    report.show(rows)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
