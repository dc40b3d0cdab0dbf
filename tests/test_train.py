"""Training on one's own: what is learned from, what is refused, and what the new model is worth."""

import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mqtt_ids.detector import Detector
from mqtt_ids.errors import TrainingError
from mqtt_ids.events import SEES_ALL, AnyEvent, Connected, Opened, Published, Sees
from mqtt_ids.feature_table import CONTEXT, FEATURES, NAMES
from mqtt_ids.lab.attackers import Attacker
from mqtt_ids.lab.homes import make_home, record
from mqtt_ids.lab.samples import sample
from mqtt_ids.learning.lessons import errors
from mqtt_ids.learning.samples import without_normal
from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids.sources.event_log import Writer
from mqtt_ids.training import material as training_material
from mqtt_ids.training import retraining
from mqtt_ids.training.drill import FORMS, drill
from mqtt_ids.training.material import Gatherer, Material
from mqtt_ids.training.rehearsal import rehearsal
from mqtt_ids_model import Model, load_model

SEED = 90_118  # of a home that neither the shipped model nor the evaluation has met
SIZE = 4
NINE = 9 * 3600.0  # o'clock, on a Monday
HOUR = 3600.0


def life(hours: float, *, start: float = NINE, flood_at: float | None = None) -> Iterator[AnyEvent]:
    home = make_home(SEED, family="test", size=SIZE)
    attacks = []
    if flood_at is not None:
        attacker = Attacker(home, 1, start=start + flood_at, duration=30.0)
        attacks = [attacker.flood(rate=200.0)]
    return record(home, attacks, start=start, duration=hours * HOUR)


def gathered(events: Iterable[AnyEvent], sees: Sees = SEES_ALL) -> Gatherer:
    gatherer = Gatherer(open_model(DEFAULT), sees=sees, seed=1)
    gatherer.read(events)
    return gatherer


def quiet(text: str) -> None:
    del text


@pytest.fixture(scope="module")
def shipped() -> Model:
    return open_model(DEFAULT)


@pytest.fixture(scope="module")
def material() -> Material:
    """An hour and a half of calm: long enough for the clients to have a normal."""
    return gathered(life(1.5)).material()


@pytest.fixture(scope="module", autouse=True)
def rehearsed_once() -> Iterator[None]:
    """The lab's homes take seconds to play, and are the same each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retraining, "rehearsal", functools.cache(rehearsal))
        yield


@pytest.fixture(scope="module")
def trained(shipped: Model, material: Material) -> retraining.Trained:
    return retraining.retrain(shipped, material, fresh=False, seed=1, say=quiet)


def model_of(trained: retraining.Trained, folder: Path) -> Model:
    retraining.save(folder, trained, [])
    return load_model(folder, NAMES, CONTEXT)


# --- what is learned from ------------------------------------------------------------------


def test_the_last_quarter_of_the_time_is_held_out(material: Material) -> None:
    cut = NINE + 1.5 * HOUR * 0.75
    assert material.findings == ()
    assert material.duration == pytest.approx(1.5 * HOUR, abs=60.0)
    assert material.held_out_duration == pytest.approx(material.duration / 4)
    assert material.learned.time.max() == pytest.approx(cut, abs=61.0)
    assert material.learned.time.max() < material.held_out.time.min()
    assert material.clients >= SIZE


def test_however_many_vectors_there_are_a_bounded_number_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_material, "MOST_ROWS", 400)
    kept = gathered(life(0.25)).material()
    rows = len(kept.learned) + len(kept.held_out)
    assert 100 < rows <= 400
    # What was thinned out is spread over the whole time.
    assert kept.learned.time.min() < NINE + 100.0
    assert kept.held_out.time.max() > NINE + 800.0


def test_a_hole_of_fifty_years_has_an_end_and_is_not_learned_from() -> None:
    years = 50 * 365.25 * 86_400.0
    first = list(life(0.1))
    again = [msgspec.structs.replace(event, time=event.time + years) for event in life(0.1)]
    kept = gathered([*first, *again]).material()
    assert kept.duration < 0.2 * HOUR + 1000.0


def test_what_the_sensor_does_not_see_is_masked() -> None:
    kept = gathered(life(0.1), SEES_ALL & ~Sees.PUBLISHES).material()
    assert not kept.learned.seen[:, NAMES.index("publish_rate_10s")].any()
    assert kept.learned.seen[:, NAMES.index("connects_10s")].any()


def test_a_vector_without_its_normal_is_one_of_a_newcomer(material: Material) -> None:
    twins = without_normal(material.learned)
    learned = np.array([feature.learned for feature in FEATURES])
    assert material.learned.seen[:, learned].any()
    assert not twins.seen[:, learned].any()
    assert not twins.context[:, CONTEXT.index("has_normal")].any()
    assert (twins.seen[:, ~learned] == material.learned.seen[:, ~learned]).all()


def test_no_events_at_all_are_refused() -> None:
    with pytest.raises(TrainingError, match="nothing to learn from: 0 events"):
        gathered([]).material()


# --- what is refused -----------------------------------------------------------------------


def test_too_little_is_refused_with_what_there_is_and_what_is_needed(material: Material) -> None:
    with pytest.raises(TrainingError, match=r"too little .*: 1\.5 h .*at least 3\.0 h and 3000"):
        retraining.check(material, anyway=True)


def test_what_is_no_calm_is_refused_unless_one_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "NEEDED", 600.0)
    monkeypatch.setattr(retraining, "NEEDED_VECTORS", 100)
    attacked = gathered(life(0.25, flood_at=600.0)).material()
    with pytest.raises(TrainingError, match=r"this is not calm: flood by .* after 0\.2 h"):
        retraining.check(attacked, anyway=False)
    retraining.check(attacked, anyway=True)


def test_the_drill_tells_a_model_that_finds_from_one_that_does_not(shipped: Model) -> None:
    found = drill(shipped)
    assert len(found) == len(FORMS)
    retraining.check_drill(found)
    blind = {name: dict.fromkeys(values, 1e6) for name, values in shipped.card.thresholds.items()}
    card = msgspec.structs.replace(shipped.card, thresholds=blind)
    with pytest.raises(TrainingError, match="misses flood, slowite, malformed, brute-force, dos"):
        retraining.check_drill(drill(dataclasses.replace(shipped, card=card)))


# --- what the new model is worth -----------------------------------------------------------


def test_the_new_model_takes_this_home_more_for_granted(
    shipped: Model, material: Material, trained: retraining.Trained
) -> None:
    assert shipped.net is not None
    before, after = errors(shipped.net, material.learned), errors(trained.net, material.learned)
    assert after.mean() < before.mean()


def test_the_new_model_has_not_forgotten_other_homes(
    shipped: Model, trained: retraining.Trained
) -> None:
    assert shipped.net is not None
    strangers = sample(7, family="test", duration=600.0, eventful=30.0, keep=1.0)
    before, after = errors(shipped.net, strangers), errors(trained.net, strangers)
    assert after.mean() < 2.0 * before.mean()


def test_the_thresholds_stay_near_the_shipped_ones(
    shipped: Model, trained: retraining.Trained
) -> None:
    assert trained.thresholds.keys() == shipped.card.thresholds.keys()
    for name, values in trained.thresholds.items():
        ratio = values["budget"] / shipped.card.thresholds[name]["budget"]
        assert retraining.LEAST <= round(ratio, 6) <= retraining.MOST


def test_the_same_seed_gives_the_same_model(
    shipped: Model, material: Material, trained: retraining.Trained
) -> None:
    again = retraining.retrain(shipped, material, fresh=False, seed=1, say=quiet)
    assert again.model == trained.model
    assert again.thresholds == trained.thresholds


def test_a_fresh_network_owes_nothing_to_the_shipped_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shipped: Model, material: Material
) -> None:
    brief = msgspec.structs.replace(retraining.FRESH, epochs=(2, 1), tuning=1)
    monkeypatch.setattr(retraining, "FRESH", brief)
    bare = dataclasses.replace(shipped, net=None)
    with pytest.raises(TrainingError, match="--fresh"):
        retraining.retrain(bare, material, fresh=False, seed=1, say=quiet)
    fresh = retraining.retrain(bare, material, fresh=True, seed=1, say=quiet)
    assert model_of(fresh, tmp_path).card.trained["from"] == "nothing"


def test_the_new_model_finds_a_flood_in_this_home(
    tmp_path: Path, trained: retraining.Trained
) -> None:
    start = NINE + 86_400.0
    detector = Detector(model_of(trained, tmp_path), sees=SEES_ALL, facts=False)
    due, alerts = start + 1.0, []
    for event in life(0.2, start=start, flood_at=600.0):
        while event.time >= due:
            alerts += [alert for alert in detector.tick(due) if alert.severity != "info"]
            due += 1.0
        detector.feed(event)
    assert {alert.attack for alert in alerts} == {"flood"}
    assert 0.0 <= alerts[0].time - (start + 600.0) <= 5.0


# --- the command ---------------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mqtt_ids", *arguments],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def written(events: Iterable[AnyEvent], path: Path) -> str:
    with Writer(path, sees=SEES_ALL, wall=lambda time: time + 1e9) as writer:
        for event in events:
            writer.write(event)
    return str(path)


def few() -> Iterator[AnyEvent]:
    at = "192.0.2.7"
    yield Opened(time=0.0, connection=1, address=at)
    yield Connected(time=0.0, connection=1, address=at, client_id="lamp")
    for number in range(20):
        yield Published(
            time=float(number), connection=1, address=at, client_id="lamp", topic="lamp", size=4
        )


def test_a_refusal_is_one_line_and_leaves_no_folder(tmp_path: Path) -> None:
    result = run("train", str(tmp_path / "mine"), written(few(), tmp_path / "few.jsonl"))
    assert (result.returncode, result.stdout) == (2, "")
    assert "too little to learn from: 0.0 h of MQTT" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("folder", "why"),
    [("default", "name of the shipped model"), ("file/below", "no folder"), ("file", "no folder")],
)
def test_a_folder_that_will_not_do_is_refused_before_anything_is_read(
    tmp_path: Path, folder: str, why: str
) -> None:
    (tmp_path / "file").touch()
    name = folder if folder == DEFAULT else str(tmp_path / folder)
    result = run("train", name, os.devnull)
    assert (result.returncode, result.stdout) == (2, "")
    (complaint,) = result.stderr.splitlines()
    assert why in complaint


@pytest.mark.slow
def test_three_hours_make_a_model_whose_card_tells_of_them(tmp_path: Path) -> None:
    log = written(life(3.1), tmp_path / "calm.jsonl")
    folder = tmp_path / "mine"
    result = run("train", str(folder), log)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json", "model.tflite", "weights.npz",
    ]  # fmt: skip
    figures = open_model(str(folder)).card.trained
    assert figures["hours"] == pytest.approx(3.1, abs=0.1)
    assert figures["attacks_found"] == "6 of 6"
    assert figures["held_out_share_below_threshold"] > 0.99
    shown = run("model", "--model", str(folder)).stdout
    assert "trained     attacks_found: 6 of 6" in shown
    assert "lab" not in str(figures), "no client's name, no file's"
