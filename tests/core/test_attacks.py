"""Names: a table of cases. A name follows from where the error sits and who makes the load."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids import attacks
from mqtt_ids.alerts import SEVERITIES, Attack, Severity
from mqtt_ids.feature_table import FEATURES, NAMES
from mqtt_ids.windows import Floats

PLACE = {name: place for place, name in enumerate(NAMES)}
FAMILIES = ("guess", "hold", "bad", "foreign", "listen", "turns", "crowd", "load")
UNNAMED = {"retained_share"}  # says what a client is like, never that it attacks


def vector(**values: float) -> Floats:
    row = np.zeros(len(FEATURES), np.float32)
    for name, value in values.items():
        row[PLACE[name]] = value
    return row


def named(
    observed: dict[str, float] | None = None,
    *,
    is_host: bool = True,
    clients: int = 1,
    sole: float = 1.0,
    **shares: float,
) -> Attack:
    return attacks.name(
        {family: shares.get(family, 0.0) for family in FAMILIES},
        vector(**(observed or {})),
        is_host=is_host,
        clients=clients,
        sole_share=sole,
    )[0]


LOUD = {"host_publish_rate_10s": 500.0, "publish_rate_10s": 500.0}
STORM = {"host_opens_1m": 80.0}


def shared(errors: Floats, x: Floats, reconstruction: Floats) -> dict[str, float]:
    return attacks.shares(attacks.in_excess(errors, x, reconstruction))


@pytest.mark.parametrize("feature", [name for name in NAMES if name not in UNNAMED])
def test_each_feature_speaks_for_one_family(feature: str) -> None:
    shares = shared(vector(**{feature: 4.0}), vector(**{feature: 2.0}), vector())
    assert set(shares) == set(FAMILIES)
    assert sorted(shares.values()) == [0.0] * (len(FAMILIES) - 1) + [1.0], shares


def test_only_what_is_in_excess_speaks() -> None:
    shares = shared(
        vector(host_malformed_10s=0.25, host_opens_1m=0.25, host_ping_rate_1m=100.0),
        vector(host_malformed_10s=1.0, host_opens_1m=1.0, host_ping_rate_1m=0.0),
        vector(host_malformed_10s=0.5, host_opens_1m=0.5, host_ping_rate_1m=10.0),
    )
    assert shares["bad"] == shares["crowd"] == pytest.approx(0.5)
    assert shares["load"] == 0.0


def test_no_error_at_all_is_shared_by_nobody() -> None:
    assert set(shared(vector(), vector(), vector()).values()) == {0.0}


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        ("slowite", named(hold=0.9, crowd=0.1)),
        ("slowite", named(hold=0.4, crowd=0.6, observed=STORM)),
        ("malformed", named(bad=0.9)),
        ("malformed", named(bad=0.9, is_host=False)),
        ("malformed", named(bad=0.35, crowd=0.65, observed=STORM)),
        ("brute-force", named({"host_guesses_10m": 5.0}, guess=0.6, crowd=0.4)),
        ("brute-force", named({"host_guesses_10m": 5.0}, guess=0.3, bad=0.4, crowd=0.3)),
        ("brute-force", named({"host_tries": 4.0}, guess=0.6, crowd=0.4)),
        ("spoofing", named(foreign=0.5, load=0.5)),
        ("takeover", named(turns=0.5, crowd=0.5, is_host=False)),
        ("enumeration", named(listen=0.6, load=0.4)),
        ("flood", named(LOUD, load=1.0, is_host=False)),
        ("flood", named(LOUD, load=1.0)),
        ("flood", named(LOUD, load=0.6, crowd=0.4)),
        ("dos", named(LOUD | STORM, load=0.6, crowd=0.4)),
        ("dos", named(LOUD, load=1.0, clients=10, sole=0.1)),
        ("dos", named(STORM, crowd=1.0, clients=0, sole=0.0)),
        ("dos", named(LOUD | STORM, load=0.3, crowd=0.7, clients=20, sole=0.05)),
    ],
)
def test_names(attack: Attack, found: Attack) -> None:
    assert found == attack


@pytest.mark.parametrize(
    "found",
    [
        named(),
        named({"host_guesses_10m": 1.0, "host_tries": 2.0}, guess=1.0),
        named(load=1.0, is_host=False),
        named({"publish_rate_10s": 3.0}, load=1.0, is_host=False),
        named(crowd=1.0, is_host=False),
        named(LOUD, load=0.2, crowd=0.2),
    ],
    ids=["nothing", "few guesses", "load", "faster, yet slow", "a client's connects", "bits"],
)
def test_what_fits_no_rule_is_unusual(found: Attack) -> None:
    assert found == "unusual"


@given(
    parts=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8),
    figures=st.lists(st.floats(0.0, 1e6), min_size=len(NAMES), max_size=len(NAMES)),
    is_host=st.booleans(),
    clients=st.integers(0, 1000),
    sole=st.floats(0.0, 1.0),
)
def test_every_error_gets_a_name_and_a_clearness(
    *, parts: list[float], figures: list[float], is_host: bool, clients: int, sole: float
) -> None:
    whole = max(sum(parts), 1e-9)
    shares = {family: part / whole for family, part in zip(FAMILIES, parts, strict=True)}
    name, clear = attacks.name(
        shares, np.array(figures, np.float32), is_host=is_host, clients=clients, sole_share=sole
    )
    assert name in attacks.SEVERITY
    assert 0.0 <= clear <= 1.0 + 1e-6


@pytest.mark.parametrize(
    ("attack", "ratio", "clients", "severity"),
    [
        ("flood", 10.0, 1, "high"),
        ("flood", 2000.0, 1, "critical"),
        ("dos", 10.0, 200, "critical"),
        ("malformed", 2000.0, 1, "medium"),
        ("unusual", 2.0, 1, "low"),
        ("unusual", 20.0, 1, "medium"),
        ("silence", 2000.0, 1, "info"),
    ],
)
def test_severity(attack: Attack, ratio: float, clients: int, severity: Severity) -> None:
    assert attacks.severity(attack, ratio, clients) == severity


def test_each_named_attack_has_a_severity_and_each_alarm_a_technique() -> None:
    for attack, severity in attacks.SEVERITY.items():
        assert severity in SEVERITIES
        alarm = severity != "info" and attack != "unusual"
        assert (attack in attacks.MITRE) == alarm, attack
