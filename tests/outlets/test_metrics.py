"""What Prometheus is told, and that no client of the port can hold anything up."""

import contextlib
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from live_broker import free_port, until
from outlet_tools import HOST, numbers, scrape, told
from prometheus_client.parser import text_string_to_metric_families

from mqtt_ids.alerts import SEVERITIES
from mqtt_ids.attacks import SEVERITY
from mqtt_ids.feature_table import Role
from mqtt_ids.readers import HostPort
from mqtt_ids.responders import scrapes
from mqtt_ids.responders.metrics import CONTENT_TYPE, RATIOS, Metrics
from mqtt_ids.responders.publish import Learning, Summary
from mqtt_ids.responders.scrapes import Scrapes
from mqtt_ids.views import Judged
from mqtt_ids.watch import Batch

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "outlets.md"
DASHBOARD = ROOT / "examples" / "grafana-dashboard.json"
WITHIN = 20.0  # seconds
NOW = Summary(
    time="2026-11-23T10:00:01.2Z",
    mode="protect",
    sensor="amqtt",
    learning=Learning(state="learning", learned=3, clients=5),
    clients=5,
    open_incidents=2,
    active=1,
    bans=4,
    lag=0.25,
    events=1000,
    skipped=7,
    errors=6,
    unwritten=8,
)


def judged(role: Role, ratios: list[float], fresh: list[bool]) -> Judged:
    scores = np.array(ratios, np.float32) * 0.5
    batch: Any = Batch(role=role, subjects=[], state=None, vectors=None)  # type: ignore[arg-type]
    thresholds = np.full(len(ratios), 0.5)
    return Judged(
        time=1.0, batch=batch, scores=scores, thresholds=thresholds, fresh=np.array(fresh)
    )


def filled() -> Metrics:
    metrics = Metrics()
    metrics.alert(told())
    metrics.alert(told(state="update"))
    metrics.alert(told(state="update"))
    metrics.judged(
        judged(Role.CLIENT, [0.05, 0.4, 0.4, 30.0, 9.0], [True, True, True, True, False])
    )
    metrics.judged(judged(Role.HOST, [float("inf")], [True]))
    metrics.look(NOW)
    return metrics


def test_each_number_is_what_the_engine_said() -> None:
    found = numbers(filled().text().decode())
    expected = {
        "mqtt_ids_clients": 5,
        "mqtt_ids_clients_learned": 3,
        "mqtt_ids_open_incidents": 2,
        "mqtt_ids_active_incidents": 1,
        "mqtt_ids_bans": 4,
        "mqtt_ids_lag_seconds": 0.25,
        "mqtt_ids_events_total": 1000,
        "mqtt_ids_skipped_total": 7,
        "mqtt_ids_errors_total": 6,
        "mqtt_ids_unwritten": 8,
        "mqtt_ids_alerts_total,attack=flood,severity=high,state=open": 1,
        "mqtt_ids_alerts_total,attack=dos,severity=high,state=open": 0,
        "mqtt_ids_alerts_total,attack=flood,severity=high,state=update": 2,
        "mqtt_ids_score_ratio_bucket,le=0.1,role=client": 1,
        "mqtt_ids_score_ratio_bucket,le=0.5,role=client": 3,
        "mqtt_ids_score_ratio_bucket,le=16.0,role=client": 3,
        "mqtt_ids_score_ratio_bucket,le=+Inf,role=client": 4,
        "mqtt_ids_score_ratio_count,role=client": 4,
        "mqtt_ids_score_ratio_bucket,le=1000.0,role=host": 0,
        "mqtt_ids_score_ratio_count,role=host": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["mqtt_ids_score_ratio_sum,role=client"] == pytest.approx(30.85)
    (info,) = [name for name in found if name.startswith("mqtt_ids_info,")]
    assert re.fullmatch(r"mqtt_ids_info,mode=protect,sensor=amqtt,version=[\w.+]+", info)
    assert found["process_resident_memory_bytes"] > 1e6


def test_the_text_is_made_once_for_all_who_ask() -> None:
    metrics = filled()
    first = metrics.text()
    assert metrics.text() is first
    metrics.look(msgspec.structs.replace(NOW, clients=6))
    assert "mqtt_ids_clients 6.0" in metrics.text().decode()


def test_before_the_first_second_there_is_nothing_of_ours() -> None:
    assert "mqtt_ids_clients" not in Metrics().text().decode()


def test_names_that_an_attacker_chose_are_in_no_label() -> None:
    metrics = filled()
    count = len(numbers(metrics.text().decode()))
    for number in range(500):
        name = f"evil-{number}"
        metrics.alert(told(id=name, client_id=name, username=name, clients=(name,)))
    metrics.look(NOW)
    text = metrics.text().decode()
    assert len(numbers(text)) == count
    assert "evil" not in text


def test_there_is_a_most_of_time_series() -> None:
    metrics = filled()
    for attack, severity, state in itertools.product(SEVERITY, SEVERITIES, ("open", "closed")):
        metrics.alert(told(attack=attack, severity=severity, state=state))
    metrics.look(NOW)
    assert len(numbers(metrics.text().decode())) < 250
    assert len(metrics.text()) < 20_000


def test_every_kind_of_alert_is_there_before_the_first() -> None:
    """Else the first of its kind is no increase."""
    metrics = Metrics()
    metrics.look(NOW)
    before = numbers(metrics.text().decode())
    assert set(before) == set(numbers(filled().text().decode()))


# --- over HTTP -----------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(metrics: Metrics | None = None) -> Iterator[HostPort]:
    at = HostPort(HOST, free_port())
    server = Scrapes(at, (metrics or filled()).text, CONTENT_TYPE)
    server.start()
    try:
        until(lambda: answers(at), WITHIN, failing="it does not listen")
        yield at
    finally:
        server.stop()


def answers(at: HostPort) -> bool:
    try:
        return scrape(at)[0] == 200
    except OSError:
        return False


def test_it_answers_as_prometheus_asks() -> None:
    with serving() as at:
        status, body = scrape(at)
        assert (status, numbers(body)["mqtt_ids_clients"]) == (200, 5)
        assert scrape(at, "/metrics?name=x")[0] == 200
        assert scrape(at, method="HEAD") == (200, "")
        assert scrape(at, "/") == (404, "the metrics are at /metrics\n")
        assert scrape(at, method="POST") == (405, "only GET\n")
    assert not answers(at)


@pytest.mark.parametrize(
    "said", [b"\r\n\r\n", b"\0\xff\r\n\r\n", b"GET", b"GET /metrics\r\n\r\n", b"x" * 20_000, b""]
)
def test_whatever_is_said_it_goes_on(said: bytes) -> None:
    with serving() as at:
        with socket.create_connection(at, 5.0) as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(WITHIN)
            with contextlib.suppress(ConnectionError):
                while connection.recv(65_536):
                    pass
        assert answers(at)


def test_who_says_nothing_is_cut_off_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "PATIENCE", 0.5)
    with serving() as at, socket.create_connection(at, 5.0) as mute:
        mute.settimeout(WITHIN)
        with contextlib.suppress(ConnectionError):
            assert mute.recv(1) == b""


def test_a_crowd_of_mute_ones_does_not_keep_prometheus_out() -> None:
    with serving() as at, contextlib.ExitStack() as crowd:
        for _ in range(60):
            crowd.enter_context(socket.create_connection(at, WITHIN)).sendall(b"GET /met")
        threads, files = threading.active_count(), open_files()
        assert scrape(at)[0] == 200
        assert threading.active_count() == threads
        assert open_files() - files < 5


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_who_does_not_read_the_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrapes, "PATIENCE", 0.5)
    at = HostPort(HOST, free_port())
    server = Scrapes(at, lambda: bytes(50_000_000), CONTENT_TYPE)  # more than the kernel holds
    server.start()
    try:
        until(lambda: connects(at), WITHIN, failing="it does not listen")
        with socket.create_connection(at, 5.0) as stalled:
            stalled.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            until(lambda: server._open, WITHIN, failing="not asked")
            until(lambda: not server._open, WITHIN, failing="it is still there")
    finally:
        server.stop()


def connects(at: HostPort) -> bool:
    try:
        socket.create_connection(at, 5.0).close()
    except OSError:
        return False
    return True


def test_a_port_in_use_is_told_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scrapes, "AGAIN", 0.1)
    with socket.create_server((HOST, 0)) as other:
        at = HostPort(HOST, other.getsockname()[1])
        server = Scrapes(at, lambda: b"", CONTENT_TYPE)
        server.start()
        time.sleep(0.5)
    until(lambda: answers(at), WITHIN, failing="it does not listen")
    server.stop()
    told_of = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert told_of == [f"metrics: cannot listen on {at}: Address already in use; all else goes on"]


def test_a_port_that_is_never_free_does_not_hang_the_stop() -> None:
    with socket.create_server((HOST, 0)) as other:
        server = Scrapes(HostPort(HOST, other.getsockname()[1]), lambda: b"", CONTENT_TYPE)
        server.start()
        began = time.monotonic()
        server.stop()
    assert time.monotonic() - began < WITHIN / 2
    assert "mqtt-ids-metrics" not in {thread.name for thread in threading.enumerate()}


# --- the dashboard -------------------------------------------------------------------------------


def queries(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key in {"expr", "query"} and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(part, list):
        for value in part:
            yield from queries(value)


def test_the_dashboard_asks_only_for_what_there_is() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    there = {
        sample.name
        for family in text_string_to_metric_families(filled().text().decode())
        for sample in family.samples
    }
    asked = {
        name
        for query in queries(dashboard)
        for name in re.findall(r"\b(?:mqtt_ids|process)_\w+", query)
    }
    assert asked - there == set()
    ours = {name for name in there if name.startswith("mqtt_ids_")}
    assert ours - asked <= {"mqtt_ids_score_ratio_sum", "mqtt_ids_score_ratio_count"}


def test_the_docs_name_each_metric() -> None:
    families = {
        family.name for family in text_string_to_metric_families(filled().text().decode())
    } - {"mqtt_ids"}
    named = set(re.findall(r"`(mqtt_ids_\w+)`", PAGE.read_text(encoding="utf-8")))
    there = {name for name in families if name.startswith("mqtt_ids_")}
    assert {name.removesuffix("_total") for name in named} == there


def test_each_panel_has_a_place_of_its_own_and_a_data_source() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        place = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not place & taken, panel["title"]
        assert max(x for x, _ in place) < 24
        taken |= place
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_edges_of_the_histogram_have_the_threshold_among_them() -> None:
    assert list(RATIOS) == sorted(RATIOS)
    assert 1.0 in RATIOS
