"""Where the commands begin: `mqtt-ids` (or `python -m mqtt_ids`), and `mqtt-ids-agent`.

Nothing is imported above: loading the commands takes a moment, and Ctrl-C in it ends quietly too.
"""

import sys

INTERRUPTED = 130  # exit code, as shells have it


def main() -> None:
    """The command `mqtt-ids`."""
    try:
        from mqtt_ids.cli import ids, run  # noqa: PLC0415 - as said above

        code = run(ids, "mqtt-ids", sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def agent_main() -> None:
    """The command `mqtt-ids-agent`."""
    try:
        from mqtt_ids.agent_command import agent  # noqa: PLC0415 - as said above
        from mqtt_ids.cli import run  # noqa: PLC0415

        code = run(agent, "mqtt-ids-agent", sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
