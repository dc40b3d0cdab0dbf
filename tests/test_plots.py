"""The plot of a scan: drawn from few points, whatever the capture was, and harmless."""

import errno
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids import events as ev
from mqtt_ids.errors import IdsError
from mqtt_ids.events import SEES_ALL
from mqtt_ids.feature_table import Role
from mqtt_ids.features import State, Vectors
from mqtt_ids.models import open_model
from mqtt_ids.scanning import plots
from mqtt_ids.scanning.curves import LEAST, MOST_POINTS, MOST_SUBJECTS, Curve, Curves
from mqtt_ids.scanning.findings import Findings
from mqtt_ids.scanning.scan import Scan
from mqtt_ids.scanning.teller import LAST_DATE
from mqtt_ids.subjects import HostSubject
from mqtt_ids.views import Judged
from mqtt_ids.watch import Batch

PNG, SVG = b"\x89PNG\r\n\x1a\n", b"<?xml"
MONDAY = 1_700_438_400.0
HOSTILE = "$\\frac{x}{$ _<b>&\x1b[2J\n\u200f漢字"  # mathematics, markup, a terminal's commands


def scan_of(client_id: str) -> tuple[Curves, Findings]:
    """A client that joins and floods."""
    curves = Curves()
    scan = Scan(open_model("default"), sees=SEES_ALL, curves=curves)
    events: list[ev.AnyEvent] = [
        ev.Opened(time=0.0, connection=1, address="192.0.2.9"),
        ev.Connected(time=0.0, connection=1, address="192.0.2.9", client_id=client_id),
    ]
    events += [
        ev.Published(
            time=number / 400.0, connection=1, address="192.0.2.9", client_id=client_id,
            topic="t", size=1,
        )
        for number in range(4_000)
    ]  # fmt: skip
    for _ in (*scan.alerts(events), *scan.end()):
        pass
    return curves, scan.findings


def drawn(path: Path, curves: Curves, findings: Findings, title: str = "night.pcap") -> bytes:
    pytest.importorskip("matplotlib")
    plots.plot(path, curves, findings, lambda time: time + MONDAY, title)
    assert list(path.parent.iterdir()) == [path]
    return path.read_bytes()


@pytest.mark.parametrize(("ending", "magic"), [(".png", PNG), (".svg", SVG)])
def test_the_ending_says_what_is_drawn(tmp_path: Path, ending: str, magic: bytes) -> None:
    image = drawn(tmp_path / f"plot{ending}", *scan_of("porch-cam"))
    assert image.startswith(magic)
    assert len(image) > 10_000


def test_subjects_threshold_and_incidents_are_named(tmp_path: Path) -> None:
    # matplotlib draws letters as paths, and tells the text in a comment.
    text = drawn(tmp_path / "plot.svg", *scan_of("porch-cam")).decode()
    for name in ("client porch-cam", "host 192.0.2.9", "threshold", "flood: porch-cam"):
        assert f"<!-- {name} -->" in text
    assert "<!-- night.pcap -->" in text


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_name_is_never_more_than_text(tmp_path: Path, ending: str) -> None:
    image = drawn(tmp_path / f"plot{ending}", *scan_of(HOSTILE), title=HOSTILE)
    assert b"\x1b" not in image or ending == ".png"
    assert b"<b>" not in image or ending == ".png"


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_nobody_at_all_can_be_drawn(tmp_path: Path, ending: str) -> None:
    assert drawn(tmp_path / f"plot{ending}", Curves(), Findings())


def test_one_moment_can_be_drawn(tmp_path: Path) -> None:
    curves = Curves()
    curves.see(judged(0.0, {1: 2.0}))
    assert drawn(tmp_path / "plot.svg", curves, Findings())


def test_where_it_cannot_be_written_one_line_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(IdsError, match="cannot be written"):
        plots.plot(tmp_path / "no" / "plot.png", Curves(), Findings(), lambda time: time, "x")


def test_that_it_cannot_be_written_is_known_beforehand(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IdsError, match="is a folder"):
        plots.needed(tmp_path / "folder.png")
    with pytest.raises(IdsError, match="cannot be written"):
        plots.needed(tmp_path / "no" / "plot.png")
    (tmp_path / "plot.png").write_text("the one before")
    plots.needed(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_text() == "the one before"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_plot_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")

    def half(path: Path, _data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(IdsError, match="No space left"):
        plots.plot(tmp_path / "plot.png", Curves(), Findings(), lambda time: time, "x")
    assert list(tmp_path.iterdir()) == []


def test_the_last_days_that_there_are_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curves = Curves()
    for time in (0.0, LAST_DATE):
        curves.see(judged(time, {1: 2.0}))
    plots.plot(tmp_path / "plot.svg", curves, Findings(), lambda time: time, "x")
    assert (tmp_path / "plot.svg").exists()


def test_a_line_is_broken_where_the_clock_was_put_back() -> None:
    curve = Curve("client x")
    for second in (0.0, 1.0, 2.0):
        curve.add(second, 1.0)
    days, ratios = plots._points(curve, lambda time: time if time < 2.0 else time - 7_200.0)
    assert [day * 86_400.0 for day in days] == pytest.approx([0.0, 1.0, 1.0, -7_198.0])
    assert ratios == pytest.approx([1.0, 1.0, float("nan"), 1.0], nan_ok=True)


def test_without_matplotlib_one_line_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(IdsError, match=r"pip install 'mqtt-ids\[plot\]'"):
        plots.needed(tmp_path / "plot.png")


# --- curves ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 1e3)), min_size=1, max_size=60))
def test_a_curve_keeps_its_order_and_its_peak(steps: list[tuple[float, float]]) -> None:
    curve, now = Curve("client x"), 0.0
    for step, ratio in steps:
        now += step
        curve.add(now, ratio)
    assert curve.times == sorted(curve.times)
    assert max(curve.ratios) == curve.top == max(ratio for _, ratio in steps)


def test_a_long_curve_is_thinned_and_loses_no_peak() -> None:
    curve = Curve("client x")
    for second in range(50_000):
        curve.add(float(second), 9.0 if second == 31_234 else 1.0)
    assert len(curve.times) <= MOST_POINTS
    assert curve.times[-1] - curve.times[0] > 49_000
    peak = curve.times[curve.ratios.index(9.0)]
    assert abs(peak - 31_234) <= curve.step


def test_a_curve_that_is_fed_at_one_moment_is_bounded_too() -> None:
    curve = Curve("client x")
    for _ in range(3 * MOST_POINTS):
        curve.add(1.0, 1.0)
    assert len(curve.times) <= MOST_POINTS


def test_only_the_highest_subjects_are_kept() -> None:
    curves = Curves()
    for number in range(2 * MOST_SUBJECTS + 5):
        curves.see(judged(float(number), {number: 1.0 + number}))
    kept = curves.highest(10 * MOST_SUBJECTS)
    assert MOST_SUBJECTS <= len(kept) <= 2 * MOST_SUBJECTS
    assert [curve.name for curve in kept[:2]] == ["host 516", "host 515"]


def test_scores_are_multiples_of_the_threshold_and_never_zero() -> None:
    curves = Curves()
    curves.see(judged(5.0, {1: 3.0, 2: 0.0}))
    first, second = curves.highest(2)
    assert (first.times, first.ratios) == ([5.0], [3.0])
    assert second.ratios == [LEAST], "a logarithm has no zero"


def judged(time: float, ratios: dict[int, float]) -> Judged:
    """One round in which hosts score multiples of their threshold of 0.5."""
    count = len(ratios)
    zeros = np.zeros((count, 1), np.float32)
    flags = np.zeros(count, bool)
    state = State(counts=zeros, gauges=zeros, rates=zeros, earned=flags, ages=np.zeros(count))
    vectors = Vectors(x=zeros, seen=zeros.astype(bool), context=zeros)
    subjects = [HostSubject(str(number), number, time) for number in ratios]
    batch = Batch(role=Role.HOST, subjects=subjects, state=state, vectors=vectors)
    scores = np.array(list(ratios.values()), np.float32) * 0.5
    return Judged(
        time=time,
        batch=batch,
        scores=scores,
        thresholds=np.full(count, 0.5),
        fresh=np.ones(count, bool),
    )
