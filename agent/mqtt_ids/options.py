"""What the commands that ask a running agent have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from mqtt_ids.settings import Settings

state_option = click.option(
    "--state",
    "state",
    type=click.Path(path_type=Path, readable=False),
    envvar="MQTT_IDS_STATE",
    default=Settings().state_dir,
    show_default=True,
    help="State folder of the running agent; or name it in MQTT_IDS_STATE.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def json_or(as_json: bool, result: Any, show: Callable[[Any], None]) -> None:  # noqa: ANN401, FBT001 - JSON
    """Print an answer as JSON, or as it is shown to people."""
    if as_json:
        print_json(result)
    else:
        show(result)


def print_json(result: object) -> None:
    """Print it as JSON, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
