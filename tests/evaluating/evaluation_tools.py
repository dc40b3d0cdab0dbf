"""Results of an evaluation that never was: no figure here was measured."""

import math
import random
from collections.abc import Iterable
from typing import Final

import msgspec

from mqtt_ids.evaluating.results import (
    CONSTANT,
    COUNTERS,
    HOME,
    MEAN_STD,
    MQTTSET,
    NO_FACTS,
    OURS,
    PCA,
    START,
    Agreement,
    Alarm,
    Attack,
    Calm,
    Confusion,
    Curve,
    Found,
    Probe,
    Results,
    Roc,
    Step,
)
from mqtt_ids.evaluating.statistics import WEEK

HOSTILE: Final = "<script>alert(1)</script>\u202e\x1b[2J&$x$"  # a client id that an attacker chose

# form, true name, right names, seconds allowed, how soon it is found: ours, PCA, counters
FORMS: Final[tuple[tuple[str, str, tuple[str, ...], float | None, tuple[float, ...]], ...]] = (
    ("flood 100/s", "flood", (), 2.0, (1.4, 2.6, math.inf)),
    ("flood 1000/s", "flood", (), 2.0, (0.8, 1.1, 0.4)),
    ("dos 100 clients", "dos", (), 4.0, (1.9, 3.2, 1.8)),
    ("dos storm", "dos", (), 4.0, (2.2, 4.1, 3.0)),
    ("slowite keep-alive", "slowite", (), 2.0, (0.7, 1.2, math.inf)),
    ("slowite half-open", "slowite", (), 2.0, (1.1, 1.9, math.inf)),
    ("malformed 3/s", "malformed", (), 10.0, (2.7, 5.3, math.inf)),
    ("a guess every 1.5 s", "brute-force", (), 12.0, (6.2, 9.4, 9.0)),
    ("a guess every 10 s", "brute-force", (), 90.0, (41.0, 84.0, math.inf)),
    ("a guess every 60 s", "brute-force", (), 900.0, (420.0, math.inf, math.inf)),
    ("door sensor at 20/s", "turn", ("unusual", "flood"), None, (5.0, 40.0, math.inf)),
    ("door sensor at 1/s", "turn", ("unusual", "flood"), None, (55.0, math.inf, math.inf)),
    ("50 topics of others", "spoofing", (), None, (9.0, math.inf, math.inf)),
    ("take-over", "takeover", (), None, (31.0, math.inf, math.inf)),
)  # fmt: skip
FIVE: Final = ("brute-force", "dos", "flood", "malformed", "slowite")
CASES: Final = (
    "camera", "deep-sleeper", "roaming", "stale-password", "controller-restarts", "update",
    "docker", "mqtt-explorer", "periodic-discovery",
)  # fmt: skip


def alarm(client_id: str = "porch-cam", case: str | None = "camera") -> Alarm:
    return Alarm(
        time=345_678.0,
        attack="unusual",
        severity="low",
        client_id=client_id,
        address="192.168.1.40",
        ratio=1.7,
        reasons=("publishes 12 messages/s, usually 0.9", "sends 40000 bytes a message"),
        case=case,
    )


def calm(
    number: int = 0,
    *,
    place: str = HOME,
    ours: Iterable[Alarm] = (),
    rivals: tuple[int, int] = (0, 0),
    duration: float = WEEK,
    vectors: int = 500_000,
    above: int = 12,
    actions: int = 0,
) -> Calm:
    random_of = random.Random(number)
    return Calm(
        source=f"home {number}",
        style="zigbee",
        clients=random_of.randint(3, 200),
        duration=duration,
        events=random_of.randint(10**5, 10**6),
        cases=tuple(sorted(random_of.sample(CASES, 4))),
        vectors=vectors,
        above=above,
        highest=1.4,
        alarms={OURS: tuple(ours), PCA: (alarm(),) * rivals[0], COUNTERS: (alarm(),) * rivals[1]},
        notes={"new-client": 2},
        actions=actions,
        cpu=200.0,
        place=place,
    )


def found(after: float, name: str | None, others: int = 0) -> Found:
    """Found after so many seconds; infinity is never."""
    if after == math.inf:
        return Found(after=None, others=others)
    return Found(after=after, first_name=name, last_name=name, others=others)


def attack(  # noqa: PLR0913 - each is what one test is about
    form: str = "flood 1000/s",
    name: str = "flood",
    *,
    after: float = 0.8,
    said: str | None = None,
    others: int = 0,
    identity: str = "new",
    place: str = HOME,
    within: float | None = 2.0,
    beside: dict[str, Found] | None = None,
    right: tuple[str, ...] = (),
    agreement: Agreement | None = None,
) -> Attack:
    return Attack(
        form=form,
        name=name,
        source="home 9001",
        identity=identity,
        clients=40,
        found={OURS: found(after, said or name, others), **(beside or {})},
        agreement=agreement,
        place=place,
        right=right,
        within=within,
    )


def bare() -> Results:
    """An evaluation that tried nothing."""
    return Results(model="default", fingerprint="5f" * 32, trained={"seed": "1"}, short=False)


def made_up() -> Results:
    """An evaluation that tried everything, and where most went well."""
    results = bare()
    results.trained = {"seed": "1", "homes": "480 of training, 120 of calibration"}
    results.seconds = 2_800.0
    results.calm = [
        calm(n, ours=(alarm(HOSTILE),) if n == 7 else (), rivals=(n % 3 == 0, n % 2 + (n == 4)))
        for n in range(20)
    ]
    results.calm += [calm(100 + n, place=START, duration=900.0) for n in range(30)]
    results.calm += [calm(900, place=MQTTSET, duration=2_760.0, vectors=28_450, above=1)]
    results.attacks = [*_attacks(), *_mixes()]
    results.probes = [
        Probe(feature=f"{role}_feature_{n}", role=role, drivable=n != 3, trials=40,
              found=40 if n != 3 else 5, at_once=10 * (n % 4))
        for role in ("client", "host") for n in range(12)
    ]  # fmt: skip
    results.steps = [
        Step(rate=10.0 ** (n / 2), by=by, int8=0.4 * 3.0 ** (n - 4) * scale,
             floats=0.41 * 3.0 ** (n - 4) * scale, verdict="calm" if n == 4 else "attack")
        for by, scale in (("new client", 1.5), ("known client", 2.2), ("host", 1.0))
        for n in range(4, 13)
    ]  # fmt: skip
    results.curves = [_curve()]
    results.rocs = [_roc(OURS, 0.04), _roc(PCA, 0.12)]
    results.confusions = [
        Confusion(by=by, counts=_counts(good), explained=explained)
        for by, good, explained in (
            ("rules", 19, "A rule names the features that it reads."),
            ("classifier", 17, "A forest names its weightiest inputs."),
        )
    ]
    results.shares = {
        name: {f"feature_{n}_{k}": 0.5 / (k + 1) for k in range(5)} for n, name in enumerate(FIVE)
    }
    return results


def _attacks() -> list[Attack]:
    random_of = random.Random(1)
    trials = []
    for form, name, right, within, soon in FORMS:
        for identity in ("new", "address", "client"):
            for _ in range(8):
                ours, pca, counters = (time * random_of.uniform(0.7, 1.3) for time in soon)
                late = form == "dos storm" and identity == "client" and random_of.random() < 0.2
                beside = {PCA: found(pca, None), COUNTERS: found(counters, None)}
                if name in FIVE:
                    beside[NO_FACTS] = found(ours, name)
                    beside[CONSTANT] = Found(after=None)
                trials.append(
                    attack(
                        form,
                        name,
                        after=5.3 if late else ours,
                        said=random_of.choice(right) if right else name,
                        identity=identity,
                        within=within,
                        right=right,
                        beside=beside,
                        agreement=Agreement(int8=100, floats=101, both=99),
                    )
                )
    return trials


def _mixes() -> list[Attack]:
    return [
        attack(
            f"{name}.pcap", name, after=1.5, within=4.0, place=MQTTSET, identity=identity,
            beside={NO_FACTS: found(1.5, name), PCA: found(2.5, None), COUNTERS: found(3.0, None)},
        )
        for name in FIVE
        for identity in ("own", "address", "client")
    ]  # fmt: skip


def _counts(good: int) -> dict[str, dict[str, int]]:
    return {name: {name: good, "unusual": 20 - good} for name in FIVE}


def _curve() -> Curve:
    times = tuple(float(second) for second in range(0, 600, 2))
    ratios = tuple(40.0 if 300 <= time < 420 else 0.2 + 0.1 * math.sin(time / 20) for time in times)
    return Curve(
        title=f"client {HOSTILE}",
        times=times,
        ratios=ratios,
        incidents=((301.0, 450.0, f"flood: {HOSTILE}"),),
    )


def _roc(method: str, knee: float) -> Roc:
    false = tuple(10.0 ** (n / 4 - 5) for n in range(21))
    true = tuple(min(1.0, 0.7 + 0.3 * (rate / knee) ** 0.2) for rate in false)
    return Roc(method=method, false=false, true=true, area=1.0 - knee / 10)


def with_mean_std(one: Calm) -> Calm:
    """The same home, of which the paper's threshold watched the first day."""
    return msgspec.structs.replace(
        one, alarms={**one.alarms, MEAN_STD: (alarm(),) * 24}, watched={MEAN_STD: WEEK / 7}
    )
