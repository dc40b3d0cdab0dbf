"""One run of `mqtt-ids evaluate`: all trials in a pool of processes, then the report."""

import functools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mqtt_ids import attacks
from mqtt_ids.errors import IdsError
from mqtt_ids.evaluating import (
    bars,
    capture_trials,
    captures,
    ladder,
    names,
    packages,
    plan,
    probes,
    report,
    taught,
    trials,
)
from mqtt_ids.evaluating.results import Results
from mqtt_ids.models import open_model
from mqtt_ids.tables import line, safe, table
from mqtt_ids_model.card import MODEL_FILE

Clock = Callable[[], float]
T = TypeVar("T")

TOLD: Final = 10  # times that it is told how far it is, where there is no terminal
_CLOCK: Final[Clock] = time.process_time
_COLUMNS: Final = (
    TextColumn("{task.description}", markup=False),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. With `calm` or `attacks` the lab and MQTTset are left out."""

    folder: Path
    model: str
    short: bool = False
    check: bool = False
    as_json: bool = False
    workers: int = 0  # as many as there are cores
    mqttset: Path | None = None
    calm: tuple[str, ...] = ()
    attacks: tuple[tuple[str, str], ...] = ()  # (name, source)

    @property
    def own(self) -> bool:
        """Whether the sources are the user's."""
        return bool(self.calm or self.attacks)


def run(choices: Choices) -> int:
    """Evaluate as chosen and write the report; the exit code.

    Raises IdsError and ModelError; then nothing was written.
    """
    packages.needed()
    began = time.monotonic()
    _check_folder(choices.folder)
    results = _results(choices)
    recorded, missing = _recorded(choices)
    results.left_out += missing
    pool = ProcessPoolExecutor(choices.workers or os.cpu_count())
    try:
        _evaluate(_Pool(pool), choices, results, recorded)
    except BrokenProcessPool:
        raise IdsError(
            "a process of the evaluation died, perhaps for want of memory; try --workers 1"
        ) from None
    finally:
        _end(pool)
    results.seconds = time.monotonic() - began
    results.bars, untried = bars.judge(results)
    results.left_out += untried
    report.write(results, choices.folder)
    _tell(results, choices)
    if choices.own and not results.bars:
        raise IdsError("nothing that a bar is set for was tried; give --calm and --attack sources")
    fine = all(bar.holds for bar in results.bars) and (choices.own or not untried)
    return int(choices.check and not fine)


def _end(pool: ProcessPoolExecutor) -> None:
    """Without waiting for homes that are still played: they take minutes each."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _results(choices: Choices) -> Results:
    card = open_model(choices.model).card
    return Results(
        model=choices.model,
        fingerprint=card.sha256[MODEL_FILE],
        trained={fact: str(value) for fact, value in card.trained.items()},
        short=choices.short,
    )


def _recorded(choices: Choices) -> tuple[list[captures.Trial], list[str]]:
    """The captures to be tried, and what is missing."""
    if choices.own:
        unknown = {name for name, _ in choices.attacks} - attacks.SEVERITY.keys()
        if unknown:
            known = ", ".join(attacks.SEVERITY)
            raise IdsError(f"no such attack: {', '.join(sorted(unknown))}; there are {known}")
        given = captures.given(choices.calm, choices.attacks)
        for trial in given:
            captures.opened(trial)  # what cannot be read is told before an hour of work
        return given, []
    if choices.mqttset is None:
        return [], ["MQTTset: name its folder with --mqttset or in MQTTSET_DIR"]
    return captures.mqttset(choices.mqttset, mixes=1 if choices.short else captures.MIXES)


class _Pool:
    """Runs jobs in several processes, and says how far it is."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def all(self, what: str, work: Callable[[Any], T], jobs: Iterable[Any]) -> list[T]:
        """What `work` makes of all jobs, in their order."""
        futures = self.begin(work, jobs)
        self.wait(what, futures)
        return [future.result() for future in futures]

    def begin(self, work: Callable[[Any], T], jobs: Iterable[Any]) -> "list[Future[T]]":
        """The same, without waiting."""
        return [self._pool.submit(work, job) for job in jobs]

    @staticmethod
    def wait(what: str, futures: "Sequence[Future[Any]]") -> None:
        """Wait until all are done, or one has failed: then its exception is raised."""
        if not sys.stderr.isatty():
            click.echo(f"mqtt-ids: {what}: {len(futures)} trials", err=True)
            progress: Progress | None = None
        else:
            progress = Progress(*_COLUMNS, console=Console(stderr=True), transient=True)
        with progress or nullcontext():
            task = None if progress is None else progress.add_task(what, total=len(futures))
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                if progress is not None and task is not None:
                    progress.advance(task)
                elif number % max(1, len(futures) // TOLD) == 0:
                    click.echo(f"mqtt-ids: {number} of {len(futures)}", err=True)


def _evaluate(
    pool: _Pool, choices: Choices, results: Results, recorded: Sequence[captures.Trial]
) -> None:
    """Fill in the results, all but the bars."""
    short, model = choices.short, choices.model
    whole = plan.plan(short=short)
    rivals = taught.teach(pool.all("teaching the rivals", taught.study, whole.lessons))
    watch = functools.partial(capture_trials.watched, clock=_CLOCK)
    shown = pool.begin(
        watch, [capture_trials.Job(trial=one, taught=rivals, model=model) for one in recorded]
    )
    if choices.own:
        pool.wait("watching captures", shown)
        _take_in(results, [future.result() for future in shown])
        return
    # All at once, the longest first: no core waits for the last home.
    calm = pool.begin(functools.partial(trials.calm_trial, clock=_CLOCK), whole.calm(rivals, model))
    struck = pool.begin(trials.attack_trials, whole.attacks(rivals, model))
    rungs = pool.begin(ladder.climb, ladder.jobs(short=short, model=model))
    probed = pool.begin(probes.probe, probes.jobs(short=short, model=model))
    name_jobs = names.jobs(short=short, recorded=recorded, model=model)
    named = pool.begin(names.collect, name_jobs)
    pool.wait("playing homes and attacks", [*shown, *calm, *struck, *rungs, *probed, *named])
    _take_in(results, [future.result() for future in shown])
    _take_homes(
        results,
        [future.result() for future in calm],
        [trial for future in struck for trial in future.result()],
    )
    results.steps = [step for future in rungs for step in future.result()]
    results.probes = [one for future in probed for one in future.result()]
    families = [job.family for job in name_jobs]
    collected = list(zip(families, [future.result() for future in named], strict=True))
    results.confusions, results.shares, results.better_names = names.compare(
        [one for family, one in collected if family == "train"],
        [one for family, one in collected if family == "test"],
    )


def _take_in(results: Results, outcomes: Iterable[capture_trials.Outcome]) -> None:
    for outcome in outcomes:
        if outcome.calm is not None:
            results.calm.append(outcome.calm)
        if outcome.attack is not None:
            results.attacks.append(outcome.attack)
        results.left_out += outcome.faults


def _take_homes(
    results: Results,
    calm: Sequence[trials.CalmTrial],
    struck: Sequence[trials.AttackTrial],
) -> None:
    results.calm += [one.calm for one in calm]
    results.attacks += [one.attack for one in struck]
    results.curves = [one.curve for one in struck if one.curve is not None]
    results.rocs = trials.rocs(calm, struck)


def _tell(results: Results, choices: Choices) -> None:
    """The bars, for people or programs, and where the rest is."""
    if choices.as_json:
        click.echo(msgspec.json.encode(results.bars).decode())
    else:
        table(report.HEADINGS, report.summary(results), "no bar was tried")
        for part in dict.fromkeys(results.left_out):
            line(f"left out: {safe(part)}")
    click.echo(f"mqtt-ids: the report is {choices.folder / report.PAGE}", err=True)


def _check_folder(folder: Path) -> None:
    """Before an hour of work. Raises IdsError where the report could not be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise IdsError(f"{folder}: {existing} is no folder that can be written to")
