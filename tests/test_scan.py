"""The scan: events of another day, judged by their own clock, and where they come from."""

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from mqtt_ids import events as ev
from mqtt_ids.alerts import Alert
from mqtt_ids.detector import Detector
from mqtt_ids.errors import CaptureError, TrainingError
from mqtt_ids.events import SEES_ALL, AnyEvent
from mqtt_ids.lab.attackers import Attack, Attacker
from mqtt_ids.lab.capture_writer import MONDAY, frames_of, write_pcap, write_pcapng
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.household import Home
from mqtt_ids.models import open_model
from mqtt_ids.scanning import scan as scan_module
from mqtt_ids.scanning.breaking_off import BreakingOff
from mqtt_ids.scanning.calm_part import HIGHEST, LOWEST
from mqtt_ids.scanning.curves import Curves
from mqtt_ids.scanning.findings import MOST_TOLD, NAMES_KEPT, Findings
from mqtt_ids.scanning.scan import MOST_COUNTED, PAST_THE_END, Census, Scan
from mqtt_ids.scanning.teller import counted, length, listed
from mqtt_ids.sources.event_log import Writer
from mqtt_ids.sources.files import Meter
from mqtt_ids.sources.series import Series, open_series
from mqtt_ids.sources.source import open_events
from mqtt_ids_model import Model

DAY = 86_400.0
YEAR = 365 * DAY
LASTS = 1_500.0  # seconds of the home
ATTACKED = 1_200.0


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model("default")


@pytest.fixture(scope="module")
def home() -> Home:
    return next(
        home
        for home in (make_home(seed, size=8, style="plugs") for seed in range(2, 50))
        if home.network == "lan" and not home.rules.anonymous
    )


def attack(home: Home, start: float = ATTACKED, lasts: float = 20.0, seed: int = 1) -> Attack:
    return Attacker(home, seed, start=start, duration=lasts).flood(rate=400.0)


@pytest.fixture(scope="module")
def calm(home: Home) -> list[AnyEvent]:
    return list(record(home, duration=LASTS, finish=False))


@pytest.fixture(scope="module")
def attacked(home: Home) -> list[AnyEvent]:
    return list(record(home, [attack(home)], duration=LASTS, finish=False))


def scanned(model: Model, events: Iterable[AnyEvent]) -> tuple[Scan, list[Alert]]:
    scan = Scan(model, sees=SEES_ALL)
    return scan, [*scan.alerts(events), *scan.end()]


def opened(time: float, number: int = 1) -> AnyEvent:
    return ev.Opened(time=time, connection=number, address="192.0.2.1")


def joined(time: float, number: int, client_id: str, address: str = "192.0.2.1") -> AnyEvent:
    return ev.Connected(time=time, connection=number, address=address, client_id=client_id)


class Counting:
    """Counts a detector's ticks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: list[float] = []
        tick = Detector.tick

        def counted_tick(detector: Detector, now: float) -> list[Alert]:
            self.times.append(now)
            return tick(detector, now)

        monkeypatch.setattr(Detector, "tick", counted_tick)


# --- the clock ---------------------------------------------------------------------------------


def test_a_scan_tells_what_a_detector_that_ran_by_a_clock_would_have_told(
    model: Model, attacked: list[AnyEvent]
) -> None:
    detector = Detector(model, sees=SEES_ALL)
    live, due = list[Alert](), attacked[0].time + 1.0
    for event in attacked:
        while event.time >= due:
            live += detector.tick(due)
            due += 1.0
        detector.feed(event)
    while due <= attacked[-1].time:
        live += detector.tick(due)
        due += 1.0
    scan = Scan(model, sees=SEES_ALL)
    told = [*scan.alerts(attacked), *scan.end()]
    assert len(live) >= 2
    assert [nameless(alert) for alert in told[: len(live)]] == [nameless(a) for a in live]


def nameless(alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, id="")


def test_the_clock_runs_on_past_the_end(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Counting(monkeypatch)
    scanned(model, [opened(100.25)])
    assert ticks.times == [101.0 + number for number in range(int(PAST_THE_END))]


def test_what_the_last_second_did_is_told(model: Model, home: Home) -> None:
    events = list(record(home, [attack(home, 300.0, 10.0)], duration=302.0, finish=False))
    scan, _ = scanned(model, events)
    assert [one.alert.attack for one in scan.findings.found.values()] == ["flood"]
    (one,) = scan.findings.found.values()
    assert scan.findings.goes_on(one)


def test_that_all_are_silent_after_the_end_is_no_news(model: Model) -> None:
    joins = ev.Connected(
        time=0.0, connection=1, address="192.0.2.1", client_id="clock", keep_alive=5
    )
    beats = [
        ev.Published(
            time=float(second), connection=1, address="192.0.2.1", client_id="clock",
            topic="tick", size=1,
        )
        for second in range(1, 120)
    ]  # fmt: skip
    _, alerts = scanned(model, [opened(0.0), joins, *beats])
    assert alerts == []
    _, alerts = scanned(model, [opened(0.0), joins, *beats, opened(300.0, 2)])
    assert [alert.attack for alert in alerts] == ["silence", "silence"]


def test_a_hole_of_fifty_years_has_an_end(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Counting(monkeypatch)
    scanned(model, [opened(0.0), opened(50 * YEAR, 2), opened(50 * YEAR + 3, 3)])
    assert len(ticks.times) < 5_000
    assert ticks.times == sorted(set(ticks.times))
    assert ticks.times[:900] == [float(number) for number in range(1, 901)]
    # After the hole the clock is a clock again.
    assert ticks.times[-4:] == [50 * YEAR + PAST_THE_END + number for number in range(4)]


def test_quiet_beyond_measure_has_an_end_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Counting(monkeypatch)
    scanned(model, [opened(0.0), opened(2.0**62, 2), opened(2.0**63, 3)])
    assert len(ticks.times) < 10_000


def test_many_holes_cost_little_each(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "TICKS_IN_HAND", 3_000)
    ticks = Counting(monkeypatch)
    count = 200
    scanned(model, [opened(number * DAY, number) for number in range(count)])
    assert len(ticks.times) < 3_000 + 70 * count, "a day has 2,300 ticks while they last"


def test_the_span_and_who_was_there_are_counted(model: Model) -> None:
    joins = [joined(float(n), n, f"c{n % 3}", f"192.0.2.{n % 2}") for n in range(10)]
    scan, _ = scanned(model, [opened(0.0, 99), *joins])
    census = scan.census
    assert (census.first, census.last, census.events) == (0.0, 9.0, 11)
    assert (census.clients, census.addresses) == (3, 2)
    assert scan.judgements > 0


def test_who_was_there_is_bounded() -> None:
    census = Census()
    for number in range(MOST_COUNTED + 5):
        census.count(joined(0.0, number, f"c{number}", f"a{number}"))  # type: ignore[arg-type]
    assert (census.clients, census.addresses) == (MOST_COUNTED, MOST_COUNTED)


def test_nothing_at_all_is_nothing_found(model: Model) -> None:
    scan, alerts = scanned(model, [])
    assert (alerts, scan.findings.count, scan.census.first) == ([], 0, None)


# --- findings ----------------------------------------------------------------------------------


def alert(number: int, state: str = "open", **more: object) -> Alert:
    fields = {
        "id": f"id-{number}",
        "state": state,
        "active": True,
        "severity": "high",
        "attack": "flood",
        "confidence": 1.0,
        "time": float(number),
        "first_seen": float(number),
        "address": "192.0.2.1",
        **more,
    }
    return Alert(**fields)  # type: ignore[arg-type]


def test_findings_are_bounded_and_all_are_counted() -> None:
    findings = Findings()
    for number in range(MOST_TOLD + 7):
        findings.add(alert(number))
        findings.add(alert(number, "closed"))
        findings.add(alert(number, severity="info", attack="new-client", client_id=f"c{number}"))
    assert findings.count == MOST_TOLD + 7
    assert len(findings.found) == MOST_TOLD
    assert findings.untold == {"flood": 7}
    assert findings.notes["new-client"].count == MOST_TOLD + 7
    assert len(findings.notes["new-client"].names) == NAMES_KEPT
    assert findings._open == {}


def test_how_long_an_incident_lasted() -> None:
    findings = Findings()
    findings.add(alert(100))
    findings.add(alert(100, "closed", time=190.0))
    assert findings.found["id-100"].last == 130.0


def test_no_incident_lasts_longer_than_what_was_read() -> None:
    findings = Findings()
    for number in (100, 101, 102):
        findings.add(alert(number))
    findings.end = 110.0
    findings.look(lambda key: key == "id-100", 125.0)
    findings.add(alert(101, "update", time=126.0))
    findings.add(alert(111, time=127.0))
    lasted = {key: one.last for key, one in findings.found.items()}
    assert lasted == {"id-100": 110.0, "id-101": 110.0, "id-102": 102.0, "id-111": 111.0}


def test_an_incident_that_outlasts_the_calm_part_is_found() -> None:
    findings = Findings()
    findings.learning = True
    for number in (100, 101):
        findings.add(alert(number))
    findings.learned(110.0)
    findings.look(lambda key: key == "id-100", 112.0)
    assert findings.count == 0, "a sign of a moment ago may be of the calm part"
    findings.look(lambda key: key == "id-100", 114.0)
    findings.add(alert(101, "closed", time=165.0))
    assert list(findings.found) == ["id-100"]
    assert list(findings.in_calm) == ["id-101"]
    findings.add(alert(111))
    assert list(findings.found) == ["id-100", "id-111"]


# --- learning ----------------------------------------------------------------------------------


def test_a_calm_part_lowers_thresholds_but_never_by_much(
    model: Model, calm: list[AnyEvent]
) -> None:
    scan = Scan(model, sees=SEES_ALL)
    shipped = dict(scan._detector.thresholds)
    assert list(scan.learn(calm)) == []
    learned = scan._detector.thresholds
    assert learned["client/new"] == shipped["client/new"] * LOWEST
    assert learned["client/learned"] == shipped["client/learned"], "nobody was so far"
    assert scan.lesson is not None
    assert scan.lesson.in_words() == (
        "thresholds against the shipped ones: 0.75 times for new clients and new hosts"
    )


def test_an_attack_in_the_calm_part_is_a_note_and_raises_thresholds_only_so_far(
    model: Model, attacked: list[AnyEvent]
) -> None:
    scan = Scan(model, sees=SEES_ALL)
    shipped = dict(scan._detector.thresholds)
    told = list(scan.learn(attacked))
    assert {alert.severity for alert in told} == {"info"}
    assert not any(alert.active for alert in told)
    assert scan.findings.count == 0
    assert [one.alert.attack for one in scan.findings.in_calm.values()] == ["flood"]
    assert scan._detector.thresholds["client/new"] == shipped["client/new"] * HIGHEST


def test_the_plot_holds_what_was_scanned_and_not_the_calm_capture(
    model: Model, calm: list[AnyEvent]
) -> None:
    curves = Curves()
    scan = Scan(model, sees=SEES_ALL, curves=curves)
    assert list(scan.learn(calm)) == []
    assert curves.highest(1)
    scan.recount()
    later = calm[-1].time + 1.0
    list(scan.alerts([opened(later, 10_000), opened(later + 5.0, 10_001)]))
    assert min(curve.times[0] for curve in curves.highest(50)) >= later


def test_a_calm_part_that_is_too_short_is_refused(model: Model, calm: list[AnyEvent]) -> None:
    scan = Scan(model, sees=SEES_ALL)
    short = [event for event in calm if event.time < calm[0].time + 600.0]
    with pytest.raises(TrainingError, match="at least 15m are needed"):
        list(scan.learn(short))


# --- sources -----------------------------------------------------------------------------------


def log(path: Path, events: Iterable[AnyEvent]) -> str:
    with Writer(path, wall=lambda time: time + MONDAY) as writer:
        for event in events:
            writer.write(event)
    return str(path)


def capture(path: Path, events: Iterable[AnyEvent]) -> str:
    with path.open("wb") as file:
        (write_pcapng if path.suffix == ".pcapng" else write_pcap)(file, frames_of(events))
    return str(path)


def test_what_a_file_is_is_told_by_its_content(tmp_path: Path, calm: list[AnyEvent]) -> None:
    events = calm[:200]
    assert list(open_events(log(tmp_path / "a.jsonl", events)).events) == events
    assert list(open_events(log(tmp_path / "a.parquet", events)).events) == events
    for name in ("a.pcap", "a.pcapng"):
        source = open_events(capture(tmp_path / name, events))
        seen = list(source.events)
        assert [type(event) for event in seen] == [type(event) for event in events]
        assert source.frames is not None
        assert source.packets["connect"] == sum(type(e) is ev.Connected for e in events)


def test_captures_that_follow_each_other_are_one(tmp_path: Path, calm: list[AnyEvent]) -> None:
    frames = list(frames_of(calm[:400]))
    paths = [tmp_path / f"cap{number}" for number in range(3)]
    size = len(frames) // 3 + 1
    for number, path in enumerate(reversed(paths)):
        with path.open("wb") as file:
            write_pcap(file, frames[number * size : (number + 1) * size])
    whole = open_events(capture(tmp_path / "whole", calm[:400]))
    together = open_series([str(path) for path in paths])
    assert list(together.events) == list(whole.events)
    assert together.frames == whole.frames
    assert together.span == whole.span


def test_sources_of_two_kinds_are_read_in_the_order_of_their_times(
    tmp_path: Path, calm: list[AnyEvent]
) -> None:
    first, second = [e for e in calm if e.time < 60.0], [e for e in calm if 60.0 <= e.time < 120.0]
    later = log(tmp_path / "a.jsonl", second)
    earlier = log(tmp_path / "b.parquet", first)
    source = open_series([later, earlier])
    events = list(source.events)
    assert [e.time for e in events] == sorted(e.time for e in events)
    told = [type(event) for event in events if type(event) is not ev.Closed]
    assert told == [type(event) for event in (*first, *second) if type(event) is not ev.Closed]


def test_in_a_series_connections_end_with_their_source(tmp_path: Path) -> None:
    one = [opened(1.0, 1), joined(1.0, 1, "lamp"), opened(2.0, 2)]
    first = open_events(log(tmp_path / "a.jsonl", one))
    second = open_events(log(tmp_path / "b.jsonl", [opened(0.5, 1)]))
    series = Series([first, second])
    events = list(series.events)
    closed = [event for event in events if isinstance(event, ev.Closed)]
    assert [(event.connection, event.client_id, event.time) for event in closed] == [
        (1, "lamp", 2.0),
        (2, None, 2.0),
    ]
    assert events[-1] == opened(3.0, 3), "a second later, with a number of its own"
    assert series.wall(3.0) == MONDAY + 0.5
    assert series.wall(2.0) == MONDAY + 2.0


def test_a_seamless_series_has_no_hole(tmp_path: Path) -> None:
    first = open_events(log(tmp_path / "a.jsonl", [opened(1.0)]))
    second = open_events(log(tmp_path / "b.jsonl", [opened(YEAR), opened(YEAR + 5.0, 2)]))
    series = Series([first, second], seamless=True)
    times = [event.time for event in series.events if type(event) is ev.Opened]
    assert times == [1.0, 2.0, 7.0]
    assert series.wall(7.0) == MONDAY + YEAR + 5.0


def test_a_capture_that_is_cut_off_keeps_what_was_read(
    tmp_path: Path, calm: list[AnyEvent]
) -> None:
    path = Path(capture(tmp_path / "cut.pcap", calm[:100]))
    path.write_bytes(path.read_bytes()[:-5])
    source = open_events(str(path))
    assert len(list(source.events)) >= 99
    (fault,) = source.faults()
    assert fault.startswith(f"{path}: ")


def test_no_capture_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear Anna,\n")
    with pytest.raises(CaptureError, match="letter"):
        list(open_events(str(tmp_path / "letter")).events)
    with pytest.raises(CaptureError, match="No such file"):
        open_events(str(tmp_path / "nothing"))
    with pytest.raises(CaptureError, match="is a folder"):
        open_events(str(tmp_path))


def test_a_pipe_among_several_is_refused_and_not_waited_for(
    tmp_path: Path, calm: list[AnyEvent]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    night = capture(tmp_path / "night.pcap", calm[:10])
    with pytest.raises(CaptureError, match="fifo: is a pipe, and must be the only capture"):
        open_series([night, str(tmp_path / "fifo")])


@pytest.mark.parametrize("name", ["a.pcap", "a.jsonl"])
def test_an_empty_file_among_several_is_no_reason_to_read_none(
    tmp_path: Path, calm: list[AnyEvent], name: str
) -> None:
    night = (log if name == "a.jsonl" else capture)(tmp_path / name, calm[:200])
    (tmp_path / "night.pcap7").touch()
    source = open_series([str(tmp_path / "night.pcap7"), night])
    assert len(list(source.events)) == 200
    (fault,) = source.faults()
    assert "night.pcap7: empty" in fault
    with pytest.raises(CaptureError, match=r"night\.pcap7: empty"):
        list(open_series([str(tmp_path / "night.pcap7")] * 2).events)


def test_a_file_that_is_gone_when_its_turn_comes_is_a_fault(
    tmp_path: Path, calm: list[AnyEvent]
) -> None:
    one = log(tmp_path / "a.jsonl", [e for e in calm if e.time < 60.0])
    two = capture(tmp_path / "b.pcap", [e for e in calm if 60.0 <= e.time < 90.0])
    source = open_series([one, two])
    Path(two).unlink()
    assert list(source.events)
    assert source.faults() == [f"{two}: cannot be read (No such file or directory)"]


# --- Ctrl-C ------------------------------------------------------------------------------------


def test_the_first_ctrl_c_ends_the_reading_between_two_items() -> None:
    meter, seen = Meter(), list[int]()
    with BreakingOff([meter]) as breaking:
        for item in breaking.until(range(10)):
            seen.append(item)
            if item == 3:
                signal.raise_signal(signal.SIGINT)
    assert (seen, breaking.asked, meter.enough) == ([0, 1, 2, 3], True, True)


def test_sigterm_does_the_same_and_is_told_by_the_exit_code() -> None:
    with BreakingOff([Meter()]) as breaking:
        for _ in breaking.until(range(3)):
            signal.raise_signal(signal.SIGTERM)
    assert (breaking.asked, breaking.code) == (True, 143)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_second_ctrl_c_ends_all() -> None:
    with BreakingOff([Meter()]):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_breaks_off_a_read_that_waits() -> None:
    meter = Meter()

    def items() -> Iterator[int]:
        yield 1
        meter.waiting = True
        signal.raise_signal(signal.SIGINT)
        yield 2

    with BreakingOff([meter]) as breaking:
        assert list(breaking.until(items())) == [1]


def test_ctrl_c_means_afterwards_what_it_meant_before() -> None:
    with BreakingOff([]):
        pass
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


# --- words -------------------------------------------------------------------------------------


def test_lengths_of_time_are_told_in_two_units() -> None:
    told = {0.2: "less than 1 s", 59.6: "1 min", 200.0: "3 min 20 s", 3605.0: "1 h"}
    told |= {93_600.0: "1 d 2 h", 28_800.0: "8 h"}
    assert {seconds: length(seconds) for seconds in told} == told


def test_counts_and_lists() -> None:
    assert (counted(1, "frame"), counted(2_300, "frame")) == ("1 frame", "2,300 frames")
    assert listed(["a"], 3, 1) == "a"
    assert listed(["a", "b"], 3, 2) == "a and b"
    assert listed(["a", "b", "c", "d"], 2, 9) == "a, b and 7 more"
    assert listed([], 2, 0) == ""
