"""The link to a real Mosquitto: passwords, TLS, WebSocket, restarts; what is kept and told."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from live_broker import HOST, free_port, until
from mosquitto_broker import Mosquitto, needs_mosquitto, passwords
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_ids.errors import SettingsError
from mqtt_ids.settings import Tls
from mqtt_ids.uplink.access import PASSWORD, Access, PasswordUnreadable
from mqtt_ids.uplink.outbox import TRIES, WINDOW, Message, Outbox
from mqtt_ids.uplink.uplink import Pace, Received, State, Uplink

SECRET = "correct horse"
STATUS = "$ids/status"
QUICK = Pace(first=0.05, most=0.2, refused=0.2)
WITHIN = 10.0  # seconds


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)


class Watched:
    """A link in an event loop of its own, and what it told and received."""

    def __init__(self, url: str, *, access: Access | None = None, **wishes: Any) -> None:  # noqa: ANN401
        self.states: list[State] = []
        self.messages: list[Received] = []
        self.link = Uplink(
            access or Access.of(url),
            **{
                "client_id": "mqtt-ids-test",
                "on_state": self.states.append,
                "on_message": self.messages.append,
                "pace": QUICK,
                **wishes,
            },
        )
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.link.start(), self.loop).result(WITHIN)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.link.stop(), self.loop).result(WITHIN)

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    @property
    def names(self) -> list[str]:
        return [state.name for state in self.states]

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    def wait(self, name: str, words: str = "", since: int = 0) -> State:
        def found() -> list[State]:
            return [s for s in self.states[since:] if s.name == name and words in s.text]

        until(found, WITHIN, failing=f"no {name} {words!r}: {self.states}")
        return found()[0]

    def wait_for(self, what: Callable[[], object]) -> None:
        until(what, WITHIN, failing=f"{self.states} {self.messages[-5:]}")


pytestmark = [pytest.mark.timeout(60)]
live = [pytest.mark.broker, needs_mosquitto]


def marked(function: Any) -> Any:  # noqa: ANN401 - a test
    for mark in live:
        function = mark(function)
    return function


@marked
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_it_is_online_receives_and_says_so(broker: Mosquitto, version: str) -> None:
    url = f"mqtt://{HOST}:{broker.port}"
    wishes: dict[str, Any] = {
        "filters": ["a/#", STATUS],
        "status_topic": STATUS,
        "version": version,
    }
    with Watched(url, **wishes) as watched:
        watched.wait("online")
        watched.link.publish("a/b", b"\xff", qos=0)
        watched.wait_for(lambda: {b"online", b"\xff"} <= set(watched.payloads))
        watched.wait_for(lambda: watched.link.waiting == 0)
    assert watched.names == ["online", "stopped"]
    with Watched(url, filters=[STATUS], client_id="other", version=version) as other:
        other.wait_for(lambda: other.messages)
    assert [(each.payload, each.retain) for each in other.messages] == [(b"offline", True)]


@marked
def test_user_properties_come_in_their_order(broker: Mosquitto) -> None:
    with Watched(f"mqtt://{HOST}:{broker.port}", filters=["a"]) as watched:
        watched.wait("online")
        more = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        more.UserProperty = [("$clientid", "forged"), ("$clientid", "real")]
        sender = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        sender.connect(HOST, broker.port)
        sender.loop_start()
        sender.publish("a", b"x", properties=more, qos=1).wait_for_publish(WITHIN)
        sender.disconnect()
        sender.loop_stop()
        watched.wait_for(lambda: watched.messages)
    assert watched.messages[0].user_properties == (("$clientid", "forged"), ("$clientid", "real"))


@marked
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_what_was_published_while_away_is_sent_once_and_in_order(
    broker: Mosquitto, version: str
) -> None:
    url = f"mqtt://{HOST}:{broker.port}"
    with Watched(url, version=version, pace=Pace(first=4.0, most=4.0)) as watched:
        watched.wait("online")
        broker.kill()
        watched.wait("away")
        for number in range(300):
            watched.link.publish("alerts", b"%d" % number)
            watched.link.publish("summary", b"%d" % number, retain=True)
        assert watched.link.waiting == 301
        broker.start()
        with Watched(url, filters=["alerts", "summary"], client_id="reader") as reader:
            reader.wait("online")
            reader.wait_for(lambda: reader.payloads.count(b"299") == 2)
            watched.wait_for(lambda: watched.link.waiting == 0)
            alerts = [int(m.payload) for m in reader.messages if m.topic == "alerts"]
            assert alerts == list(range(300 - len(alerts), 300))
    assert broker.told.count("Received PUBLISH from mqtt-ids-test") == 301
    assert watched.link.dropped == 0


@marked
def test_the_broker_restarts_again_and_again(broker: Mosquitto) -> None:
    url = f"mqtt://{HOST}:{broker.port}"
    with Watched(url, filters=["a"], status_topic=STATUS) as watched:
        for number in range(3):
            since = len(watched.states) - 1 if number else 0
            watched.wait("online", since=max(since, 0))
            watched.link.publish("a", b"%d" % number)
            watched.wait_for(lambda: len(watched.payloads) > number)  # noqa: B023 - called at once
            broker.kill()
            watched.wait_for(lambda: watched.names[-1] == "away")
            broker.start()
            watched.wait_for(lambda: watched.names[-1] == "online")
    assert watched.payloads == [b"0", b"1", b"2"]
    texts = [state.text for state in watched.states if state.name == "away"]
    assert all("\n" not in text for text in texts)
    assert len(texts) <= 6  # lost, and perhaps refused for a moment


@marked
def test_the_will_says_offline(broker: Mosquitto) -> None:
    url = f"mqtt://{HOST}:{broker.port}"
    with Watched(url, filters=[STATUS], client_id="reader") as reader:
        reader.wait("online")
        with Watched(url, status_topic=STATUS) as first:
            first.wait("online")
            reader.wait_for(lambda: reader.payloads == [b"online"])
            with Watched(url, status_topic=STATUS, pace=Pace(first=30.0)) as second:
                second.wait("online")  # the same client id: the first is thrown out
                first.wait("away")
                reader.wait_for(lambda: b"offline" in reader.payloads)


# Who we are.


@marked
def test_a_wrong_password_is_told_once_and_a_corrected_file_is_enough(tmp_path: Path) -> None:
    passwords(tmp_path, {"ids": SECRET})
    broker = Mosquitto(tmp_path, f"password_file {tmp_path / 'passwords'}")
    broker.start()
    ours = tmp_path / "ours"
    ours.write_text("wrong donkey\n")
    ours.chmod(0o644)
    try:
        access = Access.of(f"mqtt://ids@{HOST}:{broker.port}", password_file=ours)
        with Watched("", access=access) as watched:
            watched.wait("refused", "ids")
            until(lambda: broker.told.count("not authorised") >= 3, WITHIN, failing=broker.told)
            ours.write_text(SECRET + "\n")
            watched.wait("online")
            assert SECRET not in repr(vars(watched.link)) + repr(access)
        assert watched.names == ["note", "refused", "online", "stopped"]
        assert "chmod 600" in watched.states[0].text
        told = " ".join(state.text for state in watched.states)
        assert SECRET not in told
        assert "donkey" not in told
    finally:
        broker.kill()


@marked
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_the_password_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    passwords(tmp_path, {"ids": SECRET})
    broker = Mosquitto(tmp_path, f"password_file {tmp_path / 'passwords'}")
    broker.start()
    try:
        with Watched(f"mqtt://{HOST}:{broker.port}", version=version) as nobody:
            assert "without a user" in nobody.wait("refused").text
        monkeypatch.setenv(PASSWORD, SECRET)
        with Watched(f"mqtt://ids@{HOST}:{broker.port}", version=version) as watched:
            watched.wait("online")
    finally:
        broker.kill()


@marked
def test_a_refused_subscription_and_a_refused_message_are_told(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite open/#\n")
    broker = Mosquitto(tmp_path, "allow_anonymous true", f"acl_file {rules}")
    broker.start()
    try:
        with Watched(f"mqtt://{HOST}:{broker.port}", filters=["open/#", "shut/#"]) as watched:
            watched.wait("online")
            watched.link.publish("$ids/alerts", b"x")
            watched.link.publish("open/a", b"x")
            watched.wait("note", "$ids/alerts: Not authorized")
            watched.wait_for(lambda: watched.link.waiting == 0)
            watched.wait_for(lambda: watched.payloads == [b"x"])
    finally:
        broker.kill()


# TLS and WebSocket.


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority with a server for 127.0.0.1 and a client; another authority that signs none."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other"):
        openssl(folder, *new, "-x509", "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-subj", f"/CN={name}", "-days", "2")  # fmt: skip
    (folder / "names").write_text(f"subjectAltName=IP:{HOST}")
    for name in ("server", "client"):
        openssl(
            folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem",
                "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
                "-days", "2", "-extfile", "names")  # fmt: skip
    openssl(
        folder, "ec", "-in", "client.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"
    )
    return folder


@pytest.fixture
def secured(tmp_path: Path, certificates: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(
        tmp_path,
        "allow_anonymous true",
        f"cafile {certificates / 'ca.pem'}",
        f"certfile {certificates / 'server.pem'}",
        f"keyfile {certificates / 'server.key'}",
        "require_certificate true",
    )
    broker.start()
    yield broker
    broker.kill()


def tls(folder: Path, ca: str = "ca", client: str | None = "client") -> Tls:
    cert, key = (folder / f"{client}.pem", folder / f"{client}.key") if client else (None, None)
    return Tls(ca=folder / f"{ca}.pem", cert=cert, key=key)


@marked
def test_tls_with_a_client_certificate(secured: Mosquitto, certificates: Path) -> None:
    access = Access.of(f"mqtts://{HOST}:{secured.port}", tls=tls(certificates))
    with Watched("", access=access, filters=["a"]) as watched:
        watched.wait("online")
        watched.link.publish("a", b"x" * 100_000)
        watched.wait_for(lambda: watched.payloads == [b"x" * 100_000])


@marked
@pytest.mark.parametrize(
    ("ca", "client", "host", "words"),
    [
        ("other", "client", HOST, "is not trusted: "),
        ("ca", None, HOST, "certificate required"),
        ("ca", "client", "localhost", "Hostname mismatch"),
    ],
)
def test_why_tls_fails_is_told(
    secured: Mosquitto, certificates: Path, ca: str, client: str | None, host: str, words: str
) -> None:
    access = Access.of(f"mqtts://{host}:{secured.port}", tls=tls(certificates, ca, client))
    with Watched("", access=access) as watched:
        assert "trying again" in watched.wait("away", words).text


@marked
def test_tls_where_there_is_none(broker: Mosquitto) -> None:
    with Watched(f"mqtts://{HOST}:{broker.port}") as watched:
        watched.wait("away", "does it speak TLS there?")


@marked
def test_websocket(tmp_path: Path) -> None:
    port = free_port()  # 2.0.11 does not start with WebSocket listeners alone
    web = (f"listener {port} {HOST}", "protocol websockets")
    broker = Mosquitto(tmp_path, "allow_anonymous true", *web)
    broker.start()
    try:
        with Watched(f"ws://{HOST}:{port}", filters=["a"]) as watched:
            watched.wait("online")
            watched.link.publish("a", b"x" * 10_000)
            watched.wait_for(lambda: watched.payloads == [b"x" * 10_000])
            broker.kill()
            watched.wait("away")
            broker.start()
            watched.wait_for(lambda: watched.names[-1] == "online")
    finally:
        broker.kill()


@marked
def test_websocket_where_there_is_none(broker: Mosquitto) -> None:
    with Watched(f"ws://{HOST}:{broker.port}/x") as watched:
        watched.wait("away", "/x")


@marked
def test_no_tls_where_it_is_expected(secured: Mosquitto) -> None:
    with Watched(f"mqtt://{HOST}:{secured.port}") as watched:
        watched.wait("away", "does it expect TLS there?")


# Without a broker.


def test_nobody_listens_and_stopping_is_quick() -> None:
    with Watched(f"mqtt://{HOST}:{free_port()}", pace=Pace(first=30.0)) as watched:
        watched.wait("away", "does the broker run?")
        start = time.monotonic()
        watched.stop()
        assert time.monotonic() - start < 1.0
        watched.stop()


def test_a_name_that_is_not_known() -> None:
    with Watched("mqtt://no-such-host.invalid") as watched:
        watched.wait("away", "the name no-such-host.invalid is not known")


def test_a_port_that_says_nothing_or_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqtt_ids.uplink.session.ANSWER", 0.3)
    with socket.create_server((HOST, 0)) as server:
        with Watched(f"mqtt://{HOST}:{server.getsockname()[1]}") as watched:
            server.accept()  # the first is kept, and hears nothing
            watched.wait("away", "does not answer CONNECT")
            for nonsense in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00", b"\xff" * 99):
                connection, _ = server.accept()
                connection.sendall(nonsense)
                connection.close()
            server.accept()  # it goes on
        assert set(watched.names) == {"away", "stopped"}


def test_a_slow_event_loop_never_blocks_and_losses_are_counted() -> None:
    watched = Watched(f"mqtt://{HOST}:1")
    link = watched.link
    link._loop = watched.loop  # which does not run yet
    big = Received("a", b"x" * (1 << 20), 0, retain=False, time=0.0, user_properties=())
    for _ in range(20):
        link._receive(big)
    assert (link.received, link.lost) == (20, 4)
    watched.loop.call_later(0.05, watched.loop.stop)
    watched.loop.run_forever()
    watched.loop.close()
    assert (len(watched.messages), link._inbox_bytes, link._scheduled) == (16, 0, False)


@pytest.mark.parametrize("topic", ["", "a/#", "+", "a\0", "x" * 65_536])
def test_what_can_be_no_message_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="is no topic"):
        Watched(f"mqtt://{HOST}").link.publish(topic, b"")


# The outbox.


def message(text: str, *, retain: bool = False) -> Message:
    return Message(text, b"", retain, 1)


def drain(outbox: Outbox, start: int = 0) -> list[str]:
    taken: list[str] = []
    while (each := outbox.take()) is not None:
        outbox.sent(start + len(taken), each)
        taken.append(each.topic)
    return taken


def test_the_oldest_makes_room() -> None:
    outbox = Outbox(3)
    for text in "abcde":
        outbox.put(message(text))
    assert (drain(outbox), outbox.dropped) == (["c", "d", "e"], 2)


def test_what_was_on_its_way_goes_first_again_and_alone() -> None:
    outbox = Outbox()
    for text in "abc":
        outbox.put(message(text))
    outbox.put(message("kept", retain=True))
    assert drain(outbox) == ["kept", "a", "b", "c"]
    outbox.arrived(1)
    outbox.broken()
    outbox.put(message("d"))
    sent = []
    while alone := drain(outbox):
        sent.append(alone)
        for number in range(len(alone)):
            outbox.arrived(number)
    assert sent == [["kept"], ["b"], ["c"], ["d"]]
    assert len(outbox) == 0


def test_a_newer_retained_message_stands() -> None:
    outbox = Outbox()
    outbox.put(Message("t", b"old", retain=True, qos=1))
    drain(outbox)
    outbox.put(Message("t", b"new", retain=True, qos=1))
    outbox.broken()
    taken = outbox.take()
    assert taken is not None
    assert taken.payload == b"new"
    assert outbox.take() is None


def test_a_message_that_breaks_the_connection_is_given_up_and_no_other() -> None:
    outbox = Outbox()
    for text in ("poison", "a", "b"):
        outbox.put(message(text))
    for _ in range(TRIES):
        assert drain(outbox)[0] == "poison"
        outbox.broken()
    assert outbox.dropped == 1
    assert drain(outbox) == ["a"]


def test_few_are_on_their_way_at_once() -> None:
    outbox = Outbox()
    for number in range(100):
        outbox.put(message(str(number)))
    assert len(drain(outbox)) == WINDOW


# The address.


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://broker", "mqtt://broker:1883"),
        ("mqtts://broker/", "mqtts://broker:8883"),
        ("ws://[::1]:9001", "ws://[::1]:9001/mqtt"),
        ("wss://a%40b@broker/path", "wss://a@b@broker:443/path"),
    ],
)
def test_addresses(url: str, shown: str) -> None:
    assert repr(Access.of(url)) == shown


@pytest.mark.parametrize(
    ("url", "wishes", "words"),
    [
        ("mqtt://u:hunter2@broker", {}, "password"),
        ("mqtt://broker/path", {}, "nothing may follow"),
        ("http://broker", {}, "expected a URL"),
        ("mqtt://broker", {"tls": Tls(ca=Path("ca.pem"))}, "mqtts://"),
        ("mqtts://broker", {"tls": Tls(key=Path("k"))}, "tls.key"),
        ("mqtts://broker", {"tls": Tls(ca=Path("none.pem"))}, "tls.ca: none.pem: cannot be read"),
        ("mqtt://broker", {"password_file": Path("p")}, "USER@"),
    ],
)
def test_what_can_never_work_is_refused_at_once(
    url: str, wishes: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Access.of(url, **wishes)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@marked
def test_a_key_with_a_passphrase_never_asks(certificates: Path) -> None:
    locked = Tls(cert=certificates / "client.pem", key=certificates / "locked.key")
    with pytest.raises(SettingsError, match="without passphrase"):
        Access.of("mqtts://broker", tls=locked)


def test_the_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    access = Access.of("mqtt://u@broker", password_file=file)
    with pytest.raises(PasswordUnreadable, match="No such file"):
        access.password({})
    for content, right in ((b"a b \r\nmore", "a b "), ("\u00e4".encode(), "\u00e4")):
        file.write_bytes(content)
        assert access.password({}) == right
    assert access.password({PASSWORD: "other"}) == "other"
    for content in (b"", b"\n", b"\xff", b"x" * 65_536):
        file.write_bytes(content)
        with pytest.raises(PasswordUnreadable):
            access.password({})


def test_the_pace_is_bounded_and_left_to_chance() -> None:
    pace = Pace()
    delays = [pace.delay(failures) for failures in range(10_000)]
    assert all(0.5 <= delay <= 60.0 for delay in delays)
    assert len(set(delays)) > 9000
    assert 30.0 <= pace.delay(0, refused=True) <= 60.0


# Subscriptions that change.


@marked
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_what_is_listened_to_may_change(broker: Mosquitto, version: str) -> None:
    with Watched(broker.url, filters=["a/#"], version=version) as watched:
        watched.wait("online")
        watched.link.publish("a/1", b"first")
        watched.wait_for(lambda: watched.payloads == [b"first"])
        watched.link.listen_to(["b/#"])
        until(lambda: "UNSUBACK" in broker.told, WITHIN, failing=broker.told)
        watched.link.publish("a/2", b"not wanted")
        watched.link.publish("b/1", b"second")
        watched.wait_for(lambda: watched.payloads == [b"first", b"second"])
        broker.kill()
        watched.wait("away")
        broker.start()
        watched.wait("online", since=2)
        watched.link.publish("b/2", b"third")
        watched.wait_for(lambda: watched.payloads == [b"first", b"second", b"third"])


@marked
def test_of_everything_comes_what_others_publish_from_now_on(broker: Mosquitto) -> None:
    with Watched(broker.url, client_id="other") as other:
        other.wait("online")
        other.link.publish("kept", b"before", retain=True)
        other.wait_for(lambda: other.link.waiting == 0)
        with Watched(broker.url, filters=["#"]) as watched:
            watched.wait("online")
            watched.link.publish("own", b"by ourselves")
            watched.wait_for(lambda: watched.link.waiting == 0)
            other.link.publish("now", b"by another")
            watched.wait_for(lambda: b"by another" in watched.payloads)
            assert watched.payloads == [b"by another"]


@marked
def test_our_own_end_is_known_on_this_machine(broker: Mosquitto) -> None:
    with Watched(broker.url) as watched:
        watched.wait("online")
        assert watched.link.end is not None
        host, port = watched.link.end
        assert f"New client connected from {host}:{port} as" in broker.told


@marked
def test_whoever_takes_our_id_does_not_keep_us_out(broker: Mosquitto) -> None:
    with Watched(broker.url, filters=["a"]) as watched:
        watched.wait("online")
        taken: list[str] = []

        def is_back() -> bool:
            return watched.names.count("online") > len(taken)

        for _ in range(3):
            taken.append(watched.link.client_id)
            thief = Client(CallbackAPIVersion.VERSION2, taken[-1], reconnect_on_failure=False)
            thief.connect(HOST, broker.port)
            thief.loop_start()
            watched.wait_for(is_back)
            thief.loop_stop()
            thief.disconnect()
        assert len({*taken, watched.link.client_id}) == 4
        watched.link.publish("a", b"still here")
        watched.wait_for(lambda: watched.payloads == [b"still here"])
