"""What is done about an incident, and above all what is not."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_ids.alerts import SEVERITIES, Alert, Attack, Severity
from mqtt_ids.names import canonical
from mqtt_ids.policy import (
    Ban,
    Bans,
    Decision,
    Handle,
    HandleKind,
    Neighbours,
    Obstacle,
    Scene,
    decide,
    settled,
)
from mqtt_ids.settings import Settings

NOW = 1_800_000_000.0
ALL: frozenset[HandleKind] = frozenset({"connection", "client_id", "username", "address"})


def alert(**changes: object) -> Alert:
    told: dict[str, Any] = {
        "id": "01JD",
        "state": "open",
        "active": True,
        "severity": "high",
        "attack": "flood",
        "confidence": 0.9,
        "time": 100.0,
        "first_seen": 99.0,
        "client_id": "cam",
        "address": "192.0.2.9",
        "clients": ("cam",),
        "client_count": 1,
    }
    return Alert(**{**told, **changes})


def settings(**keys: object) -> Settings:
    return Settings.from_mapping({"mode": "protect", **keys})


def decided(
    one: Alert,
    neighbours: Neighbours | None = None,
    *,
    offers: frozenset[HandleKind] = ALL,
    config: Settings | None = None,
    bans: Bans | None = None,
    scene: Scene | None = None,
    obstacle: Obstacle = lambda _: None,
) -> Decision:
    return decide(
        one,
        neighbours or Neighbours(connected=12),
        offers,
        config or settings(),
        bans if bans is not None else Bans(),
        NOW,
        scene,
        obstacle,
    )


def ban(kind: HandleKind = "address", value: str = "192.0.2.9", **changes: object) -> Ban:
    told: dict[str, Any] = {"until": NOW + 600, "seconds": 600.0, "why": "flood", **changes}
    return Ban(handle=Handle(kind, value), **told)


def test_observe_only_watches() -> None:
    decision = decided(alert(severity="critical"), config=Settings())
    assert (decision.action, decision.reason, decision.handles) == ("none", "observe mode", ())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_only_medium_and_above_is_acted_upon(severity: Severity) -> None:
    acted = decided(alert(severity=severity)).action != "none"
    assert acted is (severity in ("medium", "high", "critical"))


def test_an_address_of_its_own_is_banned_for_a_while() -> None:
    decision = decided(alert())
    assert decision.handles == (Handle("address", "192.0.2.9"),)
    assert (decision.action, decision.until) == ("banned", NOW + 600)
    assert decision.reason == "banned address 192.0.2.9 for 10m"


def test_a_closed_incident_is_left_alone() -> None:
    assert decided(alert(state="closed")).handles == ()


def test_calm_neighbours_save_an_address_and_the_id_is_taken() -> None:
    decision = decided(alert(), Neighbours(address=("tv", "lamp"), connected=12))
    assert decision.handles == (Handle("client_id", "cam"),)
    assert decision.action == "banned"


def test_an_offender_does_not_save_its_own_address() -> None:
    decision = decided(alert(), Neighbours(address=("cam",), connected=12))
    assert decision.handles[0].kind == "address"


def test_a_sensor_that_offers_no_address_bans_the_id() -> None:
    decision = decided(alert(), offers=frozenset({"client_id"}))
    assert decision.handles == (Handle("client_id", "cam"),)


def test_half_open_connections_from_a_shared_address_are_closed_and_nobody_is_banned() -> None:
    one = alert(attack="slowite", client_id=None, clients=(), client_count=0)
    near = Neighbours(address=("tv",), connected=12)
    decision = decided(one, near, scene=Scene(waiting=(7, 9)))
    assert decision.handles == (Handle("connection", "7"), Handle("connection", "9"))
    assert (decision.action, decision.until) == ("disconnected", None)


def test_without_a_handle_nothing_is_done_and_the_alert_says_why() -> None:
    one = alert(attack="brute-force", client_id=None, clients=(), client_count=0)
    near = Neighbours(address=("tv", "lamp", "oven", "door"), connected=12)
    decision = decided(one, near)
    assert decision.action == "none"
    assert "192.0.2.9 is shared with calm clients (door, lamp, oven and 1 more)" in decision.reason
    assert decided(alert(), offers=frozenset()).reason == "this sensor can only watch"


@pytest.mark.parametrize("stand_in", ["?cam", "?", "(null)", "/run/peer.sock", "10.0.0.0/8", ""])
def test_what_is_no_address_is_never_a_handle(stand_in: str) -> None:
    one = alert(address=stand_in, username="cams")
    assert decided(one).handles == (Handle("client_id", "cam"),)
    assert decided(one, offers=frozenset({"address", "username"})).handles == (
        Handle("username", "cams"),
    )
    nothing = decided(one, offers=frozenset({"address"}))
    assert (nothing.action, nothing.reason) == (
        "none",
        "no handle on it: its address is not known",
    )


def test_a_handle_with_an_obstacle_is_skipped_and_without_another_one_it_is_said() -> None:
    why = {"address": "address 192.0.2.9 is this machine's own", "client_id": "no id"}
    one = alert(username="cams")

    def obstacle(handle: Handle) -> str | None:
        return why.get(handle.kind)

    assert decided(one, obstacle=obstacle).handles == (Handle("username", "cams"),)
    why["username"] = "dynamic security knows no user cams"
    decision = decided(one, obstacle=obstacle)
    assert (decision.action, decision.handles) == ("none", ())
    assert decision.reason == f"no handle on it: {'; '.join(why.values())}"


def test_why_a_hand_is_not_there_is_said() -> None:
    decision = decided(
        alert(username="cams"),
        offers=frozenset(),
        obstacle=lambda handle: f"no {handle.kind} today" if handle.kind != "client_id" else None,
    )
    assert decision.reason == "no handle on it: no address today; no username today"


def test_a_shared_or_missing_user_name_is_said() -> None:
    offers: frozenset[HandleKind] = frozenset({"username"})
    shared = decided(alert(username="all"), Neighbours(username=("tv",)), offers=offers)
    assert shared.reason == "no handle on it: user all is shared with calm clients (tv)"
    nobody = decided(alert(), offers=offers)
    assert nobody.reason == "no handle on it: it gave no user name"
    guesser = decided(alert(attack="brute-force", username="all"), offers=offers)
    assert guesser.reason == "no handle on it: its ids and user name may be somebody else's"


@pytest.mark.parametrize("attack", ["brute-force", "takeover"])
def test_a_victims_name_is_never_banned(attack: Attack) -> None:
    one = alert(attack=attack, client_id="victim", clients=("victim",), username="owner")
    near = Neighbours(address=("tv",), connected=12)
    for neighbours in (near, Neighbours(address=("tv", "victim"), connected=12)):
        assert decided(one, neighbours).handles == ()
    also = alert(also=(attack,), client_id="victim", clients=("victim",), username="owner")
    assert decided(also, near).handles == ()


def test_who_claims_a_calm_clients_id_from_its_address_is_not_taken_by_that_address() -> None:
    one = alert(attack="brute-force", client_id="tv", clients=("tv",))
    assert decided(one, Neighbours(address=("tv",), connected=12)).action == "none"


def test_more_ids_than_an_alert_names_are_taken_by_their_user_name() -> None:
    ids = tuple(f"bot{number}" for number in range(20))
    one = alert(client_id=None, clients=ids, client_count=400, username="bots")
    near = Neighbours(address=("tv",), connected=12)
    assert decided(one, near).handles == (Handle("username", "bots"),)
    shared = Neighbours(address=("tv",), username=("tv",), connected=12)
    assert {handle.kind for handle in decided(one, shared).handles} == {"client_id"}


@pytest.mark.parametrize(
    ("allow", "named"),
    [
        ({"client_ids": ["ca?"]}, "client cam"),
        ({"usernames": ["cams"]}, "user cams"),
        ({"addresses": ["192.0.2.0/24"]}, "address 192.0.2.9"),
        ({"topics": ["firmware/*"]}, "topic firmware/cam"),
    ],
)
def test_the_allow_list_saves(allow: dict[str, list[str]], named: str) -> None:
    near = Neighbours(connected=12, topics=("firmware/cam",))
    decision = decided(alert(username="cams"), near, config=settings(allow=allow))
    assert (decision.action, decision.reason) == ("none", f"{named} is on the allow-list")


def test_an_allowed_address_is_saved_however_it_is_spelled() -> None:
    config = settings(allow={"addresses": ["192.0.2.0/24"]})
    assert decided(alert(address="::ffff:192.0.2.9"), config=config).action == "none"


def test_a_guesser_is_not_saved_by_the_name_that_he_claims() -> None:
    config = settings(allow={"usernames": ["admin"], "client_ids": ["cam"]})
    assert decided(alert(attack="brute-force", username="admin"), config=config).handles


def test_our_own_ids_are_never_acted_upon() -> None:
    decision = decided(alert(), scene=Scene(own_ids=frozenset({"cam"})))
    assert (decision.action, decision.reason) == ("none", "client cam is our own")


def test_never_more_than_a_share_of_the_established_clients() -> None:
    bans = Bans()
    scene = Scene(established=frozenset({"cam"}))
    near = Neighbours(connected=10)
    for number in range(5):
        one = alert(id=str(number), address=f"192.0.2.{number}")
        decision = decided(one, near, bans=bans, scene=scene)
        if decision.action == "none":
            break
        bans.add(ban(value=f"192.0.2.{number}", clients=decision.clients))
    assert len(bans) == 2
    assert "3 of 13 clients at once (max_share 0.2)" in decision.reason


def test_newcomers_do_not_use_up_the_share() -> None:
    bans = Bans()
    for number in range(50):
        decision = decided(alert(address=f"192.0.2.{number}"), bans=bans)
        assert decision.action == "banned"
        bans.add(ban(value=f"192.0.2.{number}", clients=decision.clients))


def test_in_a_small_home_one_may_be_cut_off_unless_the_share_is_nothing() -> None:
    scene = Scene(established=frozenset({"cam"}))
    near = Neighbours(connected=1)
    assert decided(alert(), near, scene=scene).action == "banned"
    nothing = settings(protect={"max_share": 0})
    assert decided(alert(), near, scene=scene, config=nothing).action == "none"


def test_a_client_that_is_cut_off_already_is_not_counted_twice() -> None:
    bans = Bans()
    bans.add(ban(clients=1))
    scene = Scene(established=frozenset({"cam"}))
    decision = decided(alert(state="update"), Neighbours(connected=1), bans=bans, scene=scene)
    assert (decision.action, decision.until) == ("banned", NOW + 600)


def test_a_dry_run_says_what_it_would_have_done() -> None:
    decision = decided(alert(), config=settings(protect={"dry_run": True, "ban": "1h"}))
    assert decision == Decision(action="none", reason="dry run: would ban address 192.0.2.9 for 1h")


def test_an_incident_tells_of_its_ban_while_that_lasts() -> None:
    before = decided(alert())
    nothing = Decision(action="none", reason="calm again")
    told = settled(before, nothing, NOW + 599)
    assert (told.action, told.until, told.handles) == ("banned", NOW + 600, ())
    assert settled(before, nothing, NOW + 600) == nothing
    assert settled(None, nothing, NOW) == nothing


def test_a_ban_ends_by_itself() -> None:
    bans = Bans()
    bans.add(ban(clients=2))
    assert bans.find(Handle("address", "192.0.2.9"), NOW + 599) is not None
    assert bans.find(Handle("address", "192.0.2.9"), NOW + 600) is None
    assert [one.handle.value for one in bans.expire(NOW + 600)] == ["192.0.2.9"]
    assert (len(bans), bans.clients) == (0, 0)


def test_a_clock_set_back_makes_no_ban_longer_than_it_was_meant() -> None:
    bans = Bans()
    bans.add(ban())
    year_ago = NOW - 31_536_000
    assert bans.expire(year_ago) == []
    assert bans.find(Handle("address", "192.0.2.9"), year_ago + 599) is not None
    assert bans.find(Handle("address", "192.0.2.9"), year_ago + 601) is None


def test_what_a_person_banned_is_not_displaced_by_policy() -> None:
    bans = Bans(limit=2)
    by_hand = ban(by="hand")
    bans.add(by_hand)
    assert bans.add(ban()) is by_hand
    for number in range(5):
        bans.add(ban(value=f"192.0.2.{number}"))
    assert [one.handle.value for one in bans] == ["192.0.2.9", "192.0.2.4"]
    bans.add(ban(value="10.0.0.1", by="hand"))
    assert bans.add(ban(value="10.0.0.2")) is None
    assert bans.add(ban(value="10.0.0.2", by="hand")) is None


def test_long_ids_do_not_fill_the_memory() -> None:
    bans = Bans(characters=200_000)
    for number in range(50):
        bans.add(ban("client_id", f"{number:065535d}"))
    assert sum(len(one.handle.value) for one in bans) <= 200_000
    assert bans.add(ban("client_id", "x" * 200_001)) is None


@given(st.lists(st.tuples(st.sampled_from("alx"), st.integers(0, 5), st.integers(0, 3))))
def test_the_count_of_clients_kept_out_is_that_of_the_bans(
    steps: list[tuple[str, int, int]],
) -> None:
    bans = Bans(limit=4)
    for step, number, clients in steps:
        if step == "a":
            bans.add(ban(value=str(number), clients=clients, until=NOW + number))
        elif step == "l":
            bans.lift(Handle("address", str(number)))
        else:
            bans.expire(NOW + number)
        assert bans.clients == sum(one.clients for one in bans)
        assert len(bans) <= 4


ids = st.sampled_from(["cam", "tv", "lamp", "oven", "bot"])


@given(
    one=st.builds(
        alert,
        severity=st.sampled_from(SEVERITIES),
        attack=st.sampled_from(["dos", "flood", "slowite", "malformed", "unusual", "enumeration"]),
        client_id=st.none() | ids,
        clients=st.lists(ids, max_size=3, unique=True).map(tuple),
        client_count=st.integers(0, 30),
        username=st.none() | st.just("user"),
        address=st.none() | st.just("192.0.2.9"),
    ),
    near=st.builds(
        Neighbours,
        address=st.lists(ids, unique=True).map(tuple),
        username=st.lists(ids, unique=True).map(tuple),
        connected=st.integers(0, 30),
    ),
    offers=st.frozensets(st.sampled_from(sorted(ALL))),
    blocked=st.frozensets(st.sampled_from(sorted(ALL - {"connection"}))),
)
def test_no_handle_hits_a_calm_client_and_none_is_taken_that_is_not_offered(
    one: Alert,
    near: Neighbours,
    offers: frozenset[HandleKind],
    blocked: frozenset[HandleKind],
) -> None:
    decision = decided(
        one,
        near,
        offers=offers,
        scene=Scene(waiting=(1,)),
        obstacle=lambda handle: "blocked" if handle.kind in blocked else None,
    )
    accused = {one.client_id, *one.clients}
    for handle in decision.handles:
        assert handle.kind in offers - blocked
        if handle.kind == "client_id":
            assert handle.value not in {*near.address, *near.username}
        if handle.kind == "address":
            assert set(near.address) <= accused
        if handle.kind == "username":
            assert set(near.username) <= accused
    assert (decision.action == "none") == (decision.handles == ())
    assert (decision.action == "banned") == (decision.until is not None)
    assert decision.reason


def test_addresses_have_one_spelling() -> None:
    assert canonical("::ffff:192.0.2.9") == "192.0.2.9"
    assert canonical("2001:DB8:0::1") == "2001:db8::1"
    assert canonical("/run/peer.sock") == "/run/peer.sock"


def test_a_ban_survives_being_written_down() -> None:
    one = ban("client_id", 'odd "id"\n', incident="01JD", clients=3)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Ban) == one
