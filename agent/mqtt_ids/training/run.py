"""One run of `mqtt-ids train`: opens what is named, learns from it, and writes the model."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
import msgspec

from mqtt_ids.errors import TrainingError
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.scanning.run import Bar
from mqtt_ids.sources.series import open_series
from mqtt_ids.sources.source import Source
from mqtt_ids.tables import line, safe
from mqtt_ids.training.material import Gatherer
from mqtt_ids.training.retraining import check, check_drill, examine, retrain, save


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. Ports are None for the usual."""

    folder: Path
    sources: tuple[str, ...]
    fresh: bool = False
    anyway: bool = False
    ports: frozenset[int] | None = None
    websocket_ports: frozenset[int] | None = None
    seed: int = 1


def run(choices: Choices) -> None:
    """Train as chosen. Raises IdsError and ModelError; then nothing was written."""
    _check_folder(choices.folder)
    shipped = open_model(DEFAULT)
    source = open_series(
        choices.sources, ports=choices.ports, websocket_ports=choices.websocket_ports
    )
    _say(f"reading {source.name}")
    gatherer = Gatherer(shipped, sees=source.sees, seed=choices.seed)
    with _progress(source):
        gatherer.read(source.events)
    for remark in (*source.faults(), *source.notes()):
        _say(remark)
    material = gatherer.material()
    check(material, anyway=choices.anyway)
    trained = retrain(shipped, material, fresh=choices.fresh, seed=choices.seed, say=_say)
    alerts = trained.figures["held_out_alerts"]
    if alerts:
        _say(f"the new model still raises {alerts} alerts in the part that was held out")
    _say("playing attacks that it must find")
    found = examine(trained)
    check_drill(found)
    card = save(choices.folder, trained, found)
    for fact, value in card.trained.items():
        line(f"trained     {fact}: {value}")


def _check_folder(folder: Path) -> None:
    """Before hours of work. Raises TrainingError where the model could not be written, or used."""
    if str(folder) == DEFAULT:
        raise TrainingError(f"{DEFAULT!r} is the name of the shipped model; choose another folder")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise TrainingError(f"{folder}: {existing} is no folder that can be written to")


def _say(text: str) -> None:
    click.echo(f"mqtt-ids: {safe(text)}", err=True)


def _progress(source: Source) -> AbstractContextManager[object]:
    return Bar(source.name, [source.meter]) if sys.stderr.isatty() else nullcontext()
