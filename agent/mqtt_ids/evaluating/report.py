"""The report of an evaluation: one page that opens offline, and the same as JSON.

Client ids and topics are an attacker's words: all that is not a picture of ours is escaped.
jinja2 is imported where it is used: it is in the extra `evaluate`.
"""

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from mqtt_ids.errors import IdsError
from mqtt_ids.evaluating import heats, packages, pictures, statistics, tables, words
from mqtt_ids.evaluating.answers import answers
from mqtt_ids.evaluating.figures import contest
from mqtt_ids.evaluating.pictures import Race
from mqtt_ids.evaluating.results import (
    CAPTURE,
    HOME,
    MQTTSET,
    OURS,
    START,
    Attack,
    Calm,
    Results,
)
from mqtt_ids.evaluating.statistics import WEEK
from mqtt_ids.tables import safe

JSON, PAGE = "results.json", "report.html"
HEADINGS: Final = ("", "what", "required", "measured", "95 % interval", "trials")
_TEMPLATE: Final = "report.html.jinja"
_RACERS: Final = (OURS, *tables.RIVALS)

Parts = dict[str, Any]

# The parts of a page in their order; one that nothing was tried for is said to be left out.
TITLES: Final = {
    "homes": "Calm in homes never seen",
    "attacks": "Time to detect",
    "rivals": "Against something simpler",
    "names": "Names",
    "mqttset": "MQTTset",
    "captures": "Your captures",
    "probes": "One feature at a time",
    "ladder": "A flood that grows",
    "agreement": "Quantised against float",
    "ablations": "With parts taken away",
    "shares": "What carries the error",
    "rocs": "Single vectors",
    "curves": "Score over time",
}


def write(results: Results, folder: Path) -> None:
    """Write results.json and report.html to a folder, which is made where it is not there.

    `results.bars` are told as they are. Each file is replaced whole, or stays as it was. Raises
    IdsError where a package is missing or a file cannot be written.
    """
    packages.needed()
    page = render(results)
    data = msgspec.json.format(msgspec.json.encode(results), indent=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace({folder / JSON: data + b"\n", folder / PAGE: page.encode()})
    except OSError as error:
        raise IdsError(f"{folder}: cannot be written ({error.strerror})") from None


def _replace(files: dict[Path, bytes]) -> None:
    """Write all of them beside, then put each in its place. Raises OSError."""
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in files}
    try:
        for path, data in files.items():
            beside[path].write_bytes(data)
        for path, written in beside.items():
            written.replace(path)
    finally:
        for written in beside.values():
            written.unlink(missing_ok=True)


def summary(results: Results) -> list[tuple[str, ...]]:
    """The bars as rows below HEADINGS, those that are missed first."""
    return [
        (
            "holds" if bar.holds else "MISSED",
            bar.what,
            bar.required,
            bar.measured,
            bar.interval or "",
            f"{bar.trials:,}",
        )
        for bar in sorted(results.bars, key=lambda bar: bar.holds)
    ]


def render(results: Results) -> str:
    """The page. Raises ImportError where a package is missing."""
    import jinja2  # noqa: PLC0415 - an extra

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["plain"] = safe  # no control characters either
    source = resources.files("mqtt_ids.evaluating").joinpath(_TEMPLATE).read_text("utf-8")
    parts = _parts(results)
    return environment.from_string(source).render(
        results=results,
        bars=sorted(results.bars, key=lambda bar: bar.holds),
        missed=sum(not bar.holds for bar in results.bars),
        answers=answers(results),
        parts=parts,
        titles=TITLES,
        absent=[title for name, title in TITLES.items() if name not in parts],
        streams=_streams(results),
        took=words.seconds(results.seconds),
    )


def _parts(results: Results) -> Parts:
    """What each part tells; those without anything are not there."""
    simulated = [one for one in results.attacks if one.place == HOME]
    parts = {
        "homes": _homes([one for one in results.calm if one.place in {HOME, START}]),
        "attacks": _attacks(simulated),
        "rivals": _rivals(results),
        "names": _names(results),
        "mqttset": _place(results, MQTTSET),
        "captures": _place(results, CAPTURE),
        "probes": _probes(results),
        "ladder": _ladder(results),
        "agreement": _table(tables.agreement(results)),
        "ablations": _table(tables.ablations(results.attacks)),
        "shares": {"heat": heats.shares(results.shares)} if results.shares else {},
        "rocs": {"picture": pictures.roc(results.rocs)} if results.rocs else {},
        "curves": {"pictures": [(one.title, pictures.score(one)) for one in results.curves]}
        if results.curves
        else {},
    }
    return {name: part for name, part in parts.items() if part}


def _homes(calm: Sequence[Calm]) -> Parts:
    weeks = [one for one in calm if one.place == HOME]
    starts = [one for one in calm if one.place == START]
    told = tables.cases(weeks)
    parts: Parts = {}
    if weeks:
        parts |= {"rates": tables.rates(weeks), "each": tables.homes(weeks)}
        parts["picture"] = pictures.homes(_a_week(weeks))
    if told:
        parts |= {"cases": tables.by_case(told), "by_case": pictures.cases(told)}
    if starts:
        parts |= {"starts": tables.starts(starts), "started": len(starts)}
        parts["minutes"] = words.seconds(max(one.duration for one in starts))
    if calm:
        parts["alarms"] = tables.false_alarms(calm)
    return parts


def _a_week(calm: Sequence[Calm]) -> dict[str, dict[str, float]]:
    """False alarms a week by home and method, of those methods that are no part of ours."""
    return {
        one.source: {
            method: len(found) * WEEK / one.watched.get(method, one.duration)
            for method, found in one.alarms.items()
            if method in _RACERS
        }
        for one in calm
    }


def _attacks(attacks: Sequence[Attack]) -> Parts:
    if not attacks:
        return {}
    return {"table": tables.times(attacks), "picture": pictures.times(_races(attacks))}


def _races(attacks: Sequence[Attack]) -> list[Race]:
    """All identities of a form together."""
    races = []
    for form in dict.fromkeys(one.form for one in attacks):
        trials = [one for one in attacks if one.form == form]
        after = {
            method: [one.found[method].after for one in trials if method in one.found]
            for method in _RACERS
        }
        times = {method: statistics.times(each) for method, each in after.items() if each}
        races.append(Race(form, times, trials[0].within))
    return races


def _rivals(results: Results) -> Parts:
    met = {rival: contest(results, rival) for rival in tables.RIVALS}
    there = {rival: one for rival, one in met.items() if one is not None}
    return {"met": there, "found": words.found, "figure": words.figure} if there else {}


def _names(results: Results) -> Parts:
    simulated = [one for one in results.attacks if one.place == HOME]
    parts: Parts = {}
    if simulated:
        parts["trials"] = _given(simulated)
    if results.confusions:
        parts["explained"] = dict.fromkeys(one.explained for one in results.confusions)
        parts["by"] = [
            (one, heats.accuracy(one), heats.confusion(one.counts)) for one in results.confusions
        ]
    return parts


def _given(attacks: Sequence[Attack]) -> heats.Heat:
    return heats.confusion(heats.given(attacks), heats.right(attacks))


def _place(results: Results, place: str) -> Parts:
    attacks = [one for one in results.attacks if one.place == place]
    calm = [one for one in results.calm if one.place == place]
    parts: Parts = {}
    if attacks:
        parts |= {"table": tables.times(attacks), "names": _given(attacks)}
        parts["preludes"] = sorted({one.form for one in attacks if one.in_prelude})
    if calm:
        parts |= {"calm": tables.homes(calm), "alarms": tables.false_alarms(calm)}
    return parts


def _probes(results: Results) -> Parts:
    if not results.probes:
        return {}
    weak = [one for one in results.probes if one.found < one.trials]
    return {"weak": tables.probes(weak), "table": tables.probes(results.probes)}


def _ladder(results: Results) -> Parts:
    if not results.steps:
        return {}
    picture = pictures.ladder(results.steps)
    return {"table": tables.ladder(results.steps), "picture": picture}


def _table(table: tables.Table) -> Parts:
    return {"table": table} if table.rows else {}


def _streams(results: Results) -> list[str]:
    """Which homes and files there were, so that they can be played again."""
    calm = {one.source for one in results.calm}
    return words.runs(calm | {one.source for one in results.attacks})
