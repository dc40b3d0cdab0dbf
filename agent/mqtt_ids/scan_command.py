"""The command `mqtt-ids scan`: captures and event logs in, a story or alerts out."""

from pathlib import Path
from typing import Final

import click

from mqtt_ids import port_options
from mqtt_ids import readers as read
from mqtt_ids.agent_command import CONTEXT, reading
from mqtt_ids.settings import Threshold

LEAST_CALM: Final = 900.0  # seconds
MOST_CALM: Final = 31_536_000.0
LOGS: Final = (".jsonl", ".parquet")
PLOTS: Final = (".png", ".svg")


def ending(*endings: str) -> read.Reader:
    """A file whose name ends in one of these."""

    def reader(value: object) -> object:
        path = read.path(value)
        if path.suffix not in endings:
            raise ValueError(f"{str(path)!r} should end in {' or '.join(endings)}")
        return path

    return reader


def _calm(value: object) -> object:
    """How long a calm part is; a shorter one teaches nothing."""
    length = read.seconds(value)
    if not LEAST_CALM <= length <= MOST_CALM:
        shortest, longest = read.spell(LEAST_CALM), read.spell(MOST_CALM)
        raise ValueError(f"{value} is not usable; expected {shortest} to {longest}")
    return length


def _threshold(value: object) -> object:
    """As the configuration has it; on the command line a number is text."""
    right = read.either(read.one_of("budget", "mean-std"), read.number(1e-12, 1e12))
    try:
        return right(float(str(value)))
    except ValueError:
        return right(value)


@click.command(context_settings=CONTEXT)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print each alert as a line of JSON.")
@click.option(
    "--events",
    callback=reading(ending(*LOGS)),
    metavar="FILE",
    help="Write what was seen as an event log: .jsonl or .parquet.",
)
@click.option(
    "--plot",
    callback=reading(ending(*PLOTS)),
    metavar="FILE",
    help="Draw the scores over time and the incidents: .png or .svg.",
)
@click.option(
    "--learn-first",
    callback=reading(_calm),
    metavar="DURATION",
    help="So much from the start is calm, at least 15m: learn what is normal from it first.",
)
@click.option(
    "--learn-from",
    multiple=True,
    metavar="FILE",
    help="A capture or event log that is calm: learn from it first. May be repeated.",
)
@port_options.over_tcp
@port_options.over_websocket
@click.option(
    "--model",
    "model_name",
    default="default",
    show_default=True,
    help="default (the shipped one), or a folder.",
)
@click.option(
    "--threshold",
    callback=reading(_threshold),
    default="budget",
    show_default=True,
    metavar="budget|mean-std|NUMBER",
    help="From which score on a client is odd.",
)
def scan(  # noqa: PLR0913 - what there is to choose
    captures: tuple[str, ...],
    *,
    events: Path | None,
    plot: Path | None,
    learn_first: float | None,
    learn_from: tuple[str, ...],
    ports: tuple[int, ...],
    websocket_ports: tuple[int, ...],
    model_name: str,
    threshold: Threshold,
    as_json: bool,
) -> int:
    """Say what happened in captures (pcap, pcapng) or event logs.

    Several captures are read as one, in the order of their times. Ends with exit code 1 where
    an incident above info was found.

    \b
    What happened last night?
      mqtt-ids scan night.pcap
    Watch a network from beside its broker; Ctrl-C tells the story so far:
      tcpdump -i eth0 -U -w - 'tcp port 1883' | mqtt-ids scan -
    The first hour was calm; learn from it what is normal here:
      mqtt-ids scan --learn-first 1h night.pcap
      mqtt-ids scan --learn-from calm.pcap night.pcap
    See who was odd, and when:
      mqtt-ids scan --plot night.png night.pcap
    Keep what was seen, without payloads and passwords, and scan that:
      mqtt-ids scan --events night.jsonl night.pcap*
      mqtt-ids scan --json night.jsonl | jq -r 'select(.state == "open") | .attack'
    """  # noqa: D301 - \b is click's, and no escape for a reader
    from mqtt_ids.scanning.run import Choices, Scanning  # noqa: PLC0415 - loads numpy

    return Scanning(
        Choices(
            captures=captures,
            as_json=as_json,
            events=events,
            plot=plot,
            learn_first=learn_first,
            learn_from=learn_from,
            ports=frozenset(ports) or None,
            websocket_ports=frozenset(websocket_ports) or None,
            model=model_name,
            threshold=threshold,
        )
    ).run()
