"""The command `mqtt-ids train`: a model from captures and event logs of one's own."""

from pathlib import Path

import click

from mqtt_ids import port_options
from mqtt_ids.agent_command import CONTEXT


@click.command(context_settings=CONTEXT)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("--fresh", is_flag=True, help="Start from nothing, not from the shipped model.")
@click.option("--anyway", is_flag=True, help="Learn also what the shipped model takes for attacks.")
@port_options.over_tcp
@port_options.over_websocket
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same model.")
def train(
    folder: Path,
    sources: tuple[str, ...],
    ports: tuple[int, ...],
    websocket_ports: tuple[int, ...],
    seed: int,
    *,
    fresh: bool,
    anyway: bool,
) -> None:
    """Train a model on calm captures and event logs of one home, and write it to FOLDER.

    Several are read as one, in the order of their times. Nothing is written unless the new model
    finds the lab's attacks.

    \b
      mqtt-ids train my-home monday.pcap tuesday.pcap
      mqtt-ids model --model my-home
      mqtt-ids scan --model my-home wednesday.pcap
    """  # noqa: D301 - \b is click's, and no escape for a reader
    from mqtt_ids.training.run import Choices, run  # noqa: PLC0415 - loads numpy

    run(
        Choices(
            folder=folder,
            sources=sources,
            fresh=fresh,
            anyway=anyway,
            ports=frozenset(ports) or None,
            websocket_ports=frozenset(websocket_ports) or None,
            seed=seed,
        )
    )
