"""The command's work: examine, tell, and say by a number how it is."""

import click
from rich.console import Console
from rich.text import Text

from mqtt_ids.doctor.advice import gaps
from mqtt_ids.doctor.probe import examine
from mqtt_ids.doctor.show import as_json, show
from mqtt_ids.settings import Settings
from mqtt_ids.tables import safe

FOUND = 1


def run(settings: Settings, *, json: bool) -> int:
    """Exit code 0 where nothing is missing, 1 where something is. Raises IdsError."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("") as status:
            findings = examine(settings, lambda text: status.update(Text(safe(text))))
    else:
        findings = examine(settings, lambda _: None)
    found = gaps(findings)
    if json:
        click.echo(as_json(findings, found))
    else:
        show(findings, found)
    return FOUND if found else 0
