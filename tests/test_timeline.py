"""The timeline of one incident: in its order, escaped, and not longer than a screen."""

from typing import Any

import pytest

from mqtt_ids.timeline import SHOWN, rows, show_timeline


def change(time: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    plain = {
        "time": time,
        "state": "update",
        "severity": "high",
        "attack": "flood",
        "score": 0.6,
        "threshold": 0.006,
        "client_count": 1,
    }
    return plain | more


def deed(at: str, value: str = "192.0.2.9") -> dict[str, Any]:
    handle = {"kind": "address", "value": value}
    return {"at": at, "what": "ban", "by": "hand", "handle": handle, "why": None}


def shown(incident: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_timeline(incident)
    return capsys.readouterr().out.splitlines()[1:]


def test_changes_and_deeds_are_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [change("2026-11-23T10:00:00.1Z"), change("2026-11-23T10:00:02.0Z", client_count=7)]
    first, second, third = shown(
        {"timeline": changes, "actions": [deed("2026-11-23T10:00:01.5Z")]}, capsys
    )
    assert first.split() == [
        "2026-11-23", "10:00:00.1", "update", "high", "flood,", "1", "client",
        "############", "100", "x", "threshold",
    ]  # fmt: skip
    assert second == "2026-11-23 10:00:01.5  ban                   address 192.0.2.9, by hand"
    assert "flood, 7 clients" in third


@pytest.mark.parametrize(
    ("score", "threshold", "ratio"),
    [(0.6, 0.006, 100.0), (None, None, None), (0.6, 0.0, None), (0.0, 0.006, 0.0)],
)
def test_a_score_is_told_in_multiples_of_its_threshold(
    score: float | None, threshold: float | None, ratio: float | None
) -> None:
    one = change("2026-11-23T10:00:00.1Z", score=score, threshold=threshold)
    (row,) = rows({"timeline": [one], "actions": []})
    assert row.ratio == pytest.approx(ratio)


def test_a_long_one_is_cut_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [change(f"2026-11-23T10:{n // 60:02}:{n % 60:02}.0Z") for n in range(100)]
    lines = shown({"timeline": changes, "actions": []}, capsys)
    assert len(lines) == SHOWN + 1
    assert lines[SHOWN // 2] == "  ... 60 more"
    assert lines[0].startswith("2026-11-23 10:00:00.0")
    assert lines[-1].startswith("2026-11-23 10:01:39.0")


def test_what_an_attacker_named_is_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = shown(
        {"timeline": [], "actions": [deed("2026-11-23T10:00:01.5Z", "x\x1b[2J\n")]}, capsys
    )
    assert "\x1b" not in line
    assert r"x\x1b[2J\n" in line


def test_nothing_known_is_nothing_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown({"timeline": [], "actions": []}, capsys) == []
