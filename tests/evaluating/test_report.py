"""The report opens offline, holds no dead part, and is never more than text to a hostile name."""

import importlib.util
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from evaluation_tools import HOSTILE, alarm, attack, bare, calm, made_up, with_mean_std

from mqtt_ids.errors import IdsError
from mqtt_ids.evaluating import bars, heats, pictures, report, tables
from mqtt_ids.evaluating.answers import answers
from mqtt_ids.evaluating.results import CAPTURE, MEAN_STD, Results

for needed in ("jinja2", "matplotlib", "scipy", "sklearn"):
    pytest.importorskip(needed)

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """A page's elements and text; fails where elements do not close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.tags if "id" in attrs]


def judged(results: Results) -> Results:
    results.bars, results.left_out = bars.judge(results)
    return results


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "made" / "anew"
    report.write(judged(made_up()), folder)
    return folder


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page((written / "report.html").read_text("utf-8"))


def test_the_json_is_the_results_again(written: Path) -> None:
    data = (written / "results.json").read_bytes()
    assert msgspec.json.decode(data, type=Results) == judged(made_up())
    assert sorted(path.name for path in written.iterdir()) == ["report.html", "results.json"]


def test_the_same_results_make_the_same_page(written: Path, tmp_path: Path) -> None:
    report.write(judged(made_up()), tmp_path)
    assert (tmp_path / "report.html").read_bytes() == (written / "report.html").read_bytes()


def test_the_page_needs_nothing_else(page: Page) -> None:
    assert {"script", "link", "img", "iframe", "object", "image"}.isdisjoint(
        t for t, _ in page.tags
    )
    reached = [
        value or ""
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in {"href", "src", "xlink:href", "action", "style"} or name.startswith("on")
    ]
    assert reached
    assert [value for value in reached if "://" in value or "url(h" in value] == []
    assert [name for _, attrs in page.tags for name in attrs if name.startswith("on")] == []
    policy = next(attrs for _, attrs in page.tags if "http-equiv" in attrs)["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_part_that_was_tried_is_there(page: Page) -> None:
    tried = {*report.TITLES} - {"captures"}
    assert tried | {"how"} <= set(page.ids())
    assert "Parts without a trial: Your captures." in page.text


def test_links_lead_somewhere_and_only_once(page: Page) -> None:
    ids = page.ids()
    targets = [
        attrs[name] or ""
        for _, attrs in page.tags
        for name in ("href", "xlink:href")
        if name in attrs
    ]
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    sections = [name for name in ids if name in report.TITLES]
    assert len(sections) == len(set(sections))


def test_the_first_thing_told_is_whether_the_bars_hold(page: Page) -> None:
    results = judged(made_up())
    missed = [bar.what for bar in results.bars if not bar.holds]
    assert missed
    assert f"{len(missed)} of {len(results.bars)} bars missed" in page.text
    holding = next(bar.what for bar in results.bars if bar.holds)
    assert all(page.text.index(what) < page.text.index(holding) for what in missed)


def test_the_first_questions_are_answered_in_figures(page: Page) -> None:
    first = page.text[: page.text.index("What must be reached")]
    assert "1 false alarm in 20 home-weeks" in first
    assert "95 % interval 0.0013 to 0.28" in first
    assert "351 of 351 attacks, of every form and intensity tried" in first
    assert " of 255 that a time is set for were found within it" in first
    assert "PCA: 0.35 false alarms a home and week" in first


def test_captures_of_the_user_are_answered_for() -> None:
    results = bare()
    results.calm = [calm(place=CAPTURE, duration=43_200.0, ours=[alarm()])]
    results.attacks = [attack(place=CAPTURE, identity="own", within=None, after=3.0)]
    told = {answer.question: (answer.figure, *answer.told) for answer in answers(results)}
    assert told["Does it cry wolf on your calm captures?"][:2] == (
        "1 false alarm in 12 h",
        "2.0 a day",
    )
    assert told["Does it see an attack, and how soon?"] == (
        "100 % found",
        "1 of 1 attacks of your captures",
        "95 % interval 20.7 to 100 %",
        "half of them within 3 s",
    )


def test_a_hostile_name_is_only_text(written: Path, page: Page) -> None:
    raw = (written / "report.html").read_text("utf-8")
    assert HOSTILE.startswith("<script>")
    assert "<script" not in raw
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in raw
    assert "<script>alert(1)</script>" in page.text, "it is shown as it was"
    assert not any(mark in raw for mark in ("\x1b", "\u202e")), "nor does it command a terminal"


def test_a_hostile_word_is_only_text_wherever_it_stands(tmp_path: Path) -> None:
    results = made_up()
    results.model = results.better_names = results.fingerprint = HOSTILE
    results.left_out = [HOSTILE]
    results.trained = {HOSTILE: HOSTILE}
    results.shares = {HOSTILE: {HOSTILE: 1.0}}
    results.calm = [
        msgspec.structs.replace(calm(1), source=HOSTILE, style=HOSTILE, cases=(HOSTILE,))
    ]
    results.attacks = [
        msgspec.structs.replace(one, form=HOSTILE, name=HOSTILE, identity=HOSTILE, source=HOSTILE)
        for one in results.attacks[:2]
    ]
    results.probes = [msgspec.structs.replace(results.probes[0], feature=HOSTILE, found=1)]
    results.steps = [msgspec.structs.replace(one, by=HOSTILE) for one in results.steps[:3]]
    results.confusions = [
        msgspec.structs.replace(results.confusions[0], by=HOSTILE, explained=HOSTILE)
    ]
    report.write(judged(results), tmp_path)
    raw = (tmp_path / "report.html").read_text("utf-8")
    Page(raw)
    assert not any(mark in raw for mark in ("<script", "\x1b", "\u202e"))


def test_an_evaluation_of_nothing_says_so(tmp_path: Path) -> None:
    report.write(judged(bare()), tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "No bar could be judged." in page.text
    assert [name for name in page.ids() if name != "how"] == []
    assert all(title in page.text for title in report.TITLES.values())
    assert not {"svg", "table"} & {tag for tag, _ in page.tags}


@pytest.mark.parametrize("part", ["calm", "attacks", "probes", "steps", "rocs", "shares", "curves"])
def test_a_part_alone_makes_a_page(tmp_path: Path, part: str) -> None:
    results = msgspec.structs.replace(bare(), **{part: getattr(made_up(), part)})
    report.write(judged(results), tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "Parts without a trial" in page.text
    assert len([name for name in page.ids() if name in report.TITLES]) >= 1


def test_a_short_evaluation_warns_of_itself(tmp_path: Path, page: Page) -> None:
    assert "This is the short form" not in page.text
    report.write(judged(msgspec.structs.replace(bare(), short=True)), tmp_path)
    assert "This is the short form" in (tmp_path / "report.html").read_text("utf-8")


def test_a_picture_is_drawn_in_the_pages_own_ink() -> None:
    picture = pictures.score(made_up().curves[0])
    assert picture.startswith("<svg ")
    assert "currentColor" in picture
    assert "font-family" not in picture
    assert not re.search(r"#000\b|#000000|black", picture)


def test_words_in_a_picture_are_no_mathematics() -> None:
    curve = msgspec.structs.replace(made_up().curves[0], incidents=((0.0, 9.0, r"$\frac{a}{$"),))
    assert r"$\frac{a}{$" in pictures.score(curve)


def test_what_was_never_found_has_a_place_of_its_own() -> None:
    results = made_up()
    picture = pictures.times(report._races(results.attacks))
    assert ">never<" in picture
    assert all(f">{one.form}<" in picture for one in results.attacks)


def test_summary_puts_what_is_missed_first() -> None:
    results = judged(made_up())
    rows = report.summary(results)
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), key="MISSED".__ne__)
    assert {row[1] for row in rows} == {bar.what for bar in results.bars}
    assert all(len(row) == len(report.HEADINGS) for row in rows)


def test_a_method_that_watched_less_is_told_for_what_it_watched() -> None:
    row = next(row for row in tables.rates([with_mean_std(calm())]).rows if row[0] == MEAN_STD)
    assert row[1:4] == ("24", "0.14", "168")


def test_a_case_is_held_against_the_homes_that_have_it() -> None:
    homes = [
        msgspec.structs.replace(calm(1, ours=[alarm(case="camera")]), cases=("camera", "update")),
        msgspec.structs.replace(calm(2), cases=("update",)),
    ]
    told = {case.name: (case.number, case.about, case.rate) for case in tables.cases(homes)}
    assert told == {"camera": (1, 1, 1.0), "update": (1, 0, 0.5)}


def test_other_names_that_are_right_are_shown_as_right() -> None:
    results = made_up()
    turns = [one for one in results.attacks if one.name == "turn"]
    heat = heats.confusion(heats.given(turns), heats.right(turns))
    ((name, cells),) = heat.rows
    assert name == "turn"
    assert {cell.right for cell in cells} == {True}
    assert sum(int(cell.text) for cell in cells) == len(turns)


def test_what_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.write(judged(bare()), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "no space", str(path), len(data))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(IdsError, match="cannot be written"):
        report.write(judged(made_up()), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_without_an_alarm_are_told_so() -> None:
    nothing = msgspec.structs.replace(made_up().confusions[0], counts={"flood": {}})
    assert heats.accuracy(nothing) == "no alarm"
    assert heats.confusion(nothing.counts).rows == [("flood", [])]


def test_what_was_found_in_the_idle_start_is_noted(tmp_path: Path) -> None:
    results = made_up()
    results.attacks = [
        msgspec.structs.replace(one, in_prelude=one.form == "malformed.pcap")
        for one in results.attacks
    ]
    report.write(judged(results), tmp_path)
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "in some trial: malformed.pcap." in page.text


def test_where_it_cannot_be_written_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(IdsError, match="cannot be written"):
        report.write(judged(bare()), tmp_path / "file")


def test_without_its_packages_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "scipy" else name)
    with pytest.raises(IdsError, match=r"pip install 'mqtt-ids\[evaluate\]'"):
        report.write(bare(), tmp_path)
