"""Write docs/evaluation.md, and the bars in the README, from the results of an evaluation.

    make evaluate
    .venv/bin/python scripts/evaluation_doc.py evaluation/results.json

Every figure there is one that the command printed or wrote.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mqtt_ids.evaluating import heats, report, tables, words
from mqtt_ids.evaluating.results import HOME, MQTTSET, START, Results
from mqtt_ids.evaluating.tables import Table
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.tables import safe
from mqtt_ids_model.card import MODEL_FILE

ROOT: Final = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- evaluation: begin -->\n", "<!-- evaluation: end -->\n"
HEAD: Final = """# How good the detection is

Written by `scripts/evaluation_doc.py` from one run of `make evaluate`; nothing here is by hand. The
same run makes a page with pictures, `evaluation/report.html`. Homes are of a family that the model
was neither taught nor calibrated by; every trial counts, and no home was looked at before. Times
are from an attack's start to the first alert that accuses who did it. Intervals for false alarms
assume that alarms are independent. What is measured and how:
[CONTRIBUTING.md](../CONTRIBUTING.md#evaluation), the model itself: [model.md](model.md).
"""


def page(results: Results) -> str:
    """The whole page."""
    took = f"Model `{results.fingerprint[:12]}`, {words.seconds(results.seconds)}, "
    took += f"{len(results.calm):,} calm streams, {len(results.attacks):,} attacks.\n"
    return "\n".join([HEAD, took, *_parts(results)])


def bars(results: Results) -> str:
    """The bars as Markdown."""
    return _markdown(Table(report.HEADINGS, report.summary(results), len(report.HEADINGS)))


def _parts(results: Results) -> Iterator[str]:
    weeks = [one for one in results.calm if one.place == HOME]
    starts = [one for one in results.calm if one.place == START]
    simulated = [one for one in results.attacks if one.place == HOME]
    recorded = [one for one in results.attacks if one.place == MQTTSET]
    yield "## The bars\n"
    yield bars(results)
    parts: Sequence[tuple[str, Table]] = (
        ("False alarms in unseen homes", tables.rates(weeks)),
        ("The homes, one by one", tables.homes(weeks)),
        ("False alarms in the first minutes", tables.starts(starts)),
        ("Every false alarm", tables.false_alarms([*weeks, *starts])),
        ("Attacks on unseen homes: seconds to detect", tables.times(simulated)),
        ("MQTTset, as recorded and behind a known client", tables.times(recorded)),
        ("A flood that grows", tables.ladder(results.steps)),
        ("One feature alone, where it was not always found", _weak(results)),
        ("int8 and float", tables.agreement(results)),
        ("Without one part", tables.ablations(results.attacks)),
    )
    for title, table in parts:
        if table.rows:
            yield f"## {title}\n"
            yield _markdown(table)
    if results.confusions:
        yield "## Names\n"
        yield "".join(f"- {one.by}: {heats.accuracy(one)}\n" for one in results.confusions)
        yield f"{results.better_names}\n"
    yield "## Left out\n"
    yield "".join(f"- {part}\n" for part in dict.fromkeys(results.left_out)) or "Nothing.\n"


def _weak(results: Results) -> Table:
    return tables.probes([one for one in results.probes if one.found < one.trials])


def _markdown(table: Table) -> str:
    rows = [table.heads, *table.rows]
    lines = [f"| {' | '.join(map(_cell, row))} |\n" for row in rows]
    return lines[0] + "|---" * len(table.heads) + "|\n" + "".join(lines[1:])


def _cell(text: str) -> str:
    """A cell that is only text: a client id in it is an attacker's words."""
    return safe(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _refuse_others(path: Path, results: Results) -> None:
    """Only a whole run of the shipped model is published. Raises SystemExit."""
    if results.short:
        raise SystemExit(f"{path}: is of a short run, which says little")
    if results.fingerprint != open_model(DEFAULT).card.sha256[MODEL_FILE]:
        raise SystemExit(f"{path}: is of another model than the one that is shipped")


def main(path: Path) -> None:
    """Write both pages. Raises SystemExit for results that are not to be published."""
    results = msgspec.json.decode(path.read_bytes(), type=Results)
    _refuse_others(path, results)
    (ROOT / "docs" / "evaluation.md").write_text(page(results))
    readme = ROOT / "README.md"
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{readme}: the markers of the evaluation are missing")
    readme.write_text(f"{before}{begin}\n{bars(results)}\n{end}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
