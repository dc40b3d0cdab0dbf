"""One connection of the doctor's own to the broker: short, and with every answer kept."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_ids.errors import BrokerError
from mqtt_ids.settings import Tls
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.troubles import CREDENTIALS, refused, why

__all__ = ["SOON", "Call", "Got", "call", "stranger"]

ANSWER = 4.0  # seconds for each step until we are in
SOON = 1.5  # seconds for what comes at once or not at all
MOST = 20_000  # messages that are kept; the newest
_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class Got(NamedTuple):
    """A message; `publisher` as the broker names it in the last such property."""

    topic: str
    payload: bytes
    publisher: str | None


class TooNew(BrokerError):  # noqa: N818 - a state: an older one is tried next
    """The broker does not know this version of MQTT."""


@dataclass
class _Answer:
    codes: Sequence[ReasonCode]

    @property
    def granted(self) -> bool:
        return not any(code.is_failure for code in self.codes)


class Call:
    """Connected within `with`. Raises BrokerError, in one line, where it cannot be.

    `version` is that of MQTT. Answers and messages come in paho's own thread.
    """

    def __init__(self, access: Access, client_id: str, version: str) -> None:
        self.version = version
        self.client_id = client_id
        self.got: deque[Got] = deque(maxlen=MOST)
        self._access = access
        self._answers: dict[int, _Answer] = {}
        self._greeting: ReasonCode | None = None
        self._lost = False
        self._changed = threading.Condition()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=_PROTOCOLS[version],
            transport="websockets" if access.web else "tcp",
            reconnect_on_failure=False,
        )

    def __enter__(self) -> Self:
        client, access = self._client, self._access
        client.connect_timeout = ANSWER
        if access.web:
            client.ws_set_options(access.path)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        try:
            if access.encrypted:
                client.tls_set_context(access.context())
            if access.username is not None:
                client.username_pw_set(access.username, access.password())
            client.connect(*access.address)
        except Exception as error:  # noqa: BLE001 - whatever paho makes of an odd server
            self._close()
            raise BrokerError(why(access, error)) from None
        client.loop_start()
        self.until(lambda: self._greeting is not None or self._lost, ANSWER)
        trouble = self._trouble()
        if trouble is not None:
            self.__exit__()
            raise trouble
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._close()

    def _close(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            sock.close()

    def _trouble(self) -> BrokerError | None:
        access, code = self._access, self._greeting
        if code is None:
            text = f"{access.address} does not answer CONNECT"
            if self._lost:
                text = f"{access.address} closes the connection at once"
                asks = "a client certificate (tls.cert)" if access.encrypted else "TLS"
                text += f"; does it expect {asks}, or is it no MQTT broker?"
            return BrokerError(text)
        if not code.is_failure:
            return None
        reason = code.getName()
        if reason == "Unsupported protocol version":
            return TooNew(f"the broker does not know MQTT {self.version}")
        if reason in CREDENTIALS:
            return BrokerError(refused(access, reason))
        return BrokerError(f"the broker refuses us: {reason}")

    @property
    def lost(self) -> bool:
        """Whether the broker has ended it."""
        return self._lost

    def until(self, what: Callable[[], bool], within: float) -> bool:
        """Wait for something that an answer or a message brings about; whether it came."""
        end = time.monotonic() + within
        with self._changed:
            while not what():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                # Some things, such as a line in a file, are not told by the broker.
                self._changed.wait(min(left, 0.05))
        return True

    def subscribe(self, filters: Sequence[str]) -> dict[str, bool]:
        """Which of these the broker grants; none if it does not answer."""
        _, number = self._client.subscribe([(each, 0) for each in filters])
        if number is None or not self.until(lambda: number in self._answers, ANSWER):
            return dict.fromkeys(filters, False)
        codes = self._answers[number].codes
        return {each: not code.is_failure for each, code in zip(filters, codes, strict=False)}

    def publish(self, topic: str, payload: bytes, *, within: float = SOON) -> bool | None:
        """At QoS 1: whether it is accepted; None if nothing is said.

        Before MQTT 5 a refusal looks like consent.
        """
        info = self._client.publish(topic, payload, qos=1)
        if not self.until(lambda: info.mid in self._answers, within):
            return None
        return self._answers[info.mid].granted

    def has(self, topic: str, payload: bytes) -> bool:
        """Whether this very message came."""
        return any(one.topic == topic and one.payload == payload for one in list(self.got))

    # What paho calls.

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _more: object
    ) -> None:
        self._greeting = code
        self._tell()

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        _code: ReasonCode,
        _more: object,
    ) -> None:
        self._lost = True
        self._tell()

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, codes: list[ReasonCode], _more: object
    ) -> None:
        self._answers[mid] = _Answer(codes)
        self._tell()

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _more: object
    ) -> None:
        self._answers[mid] = _Answer([code])
        self._tell()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        properties = getattr(message.properties, "UserProperty", ())
        names = [value for key, value in properties if key == "$clientid"]
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no broker lets it pass
        # A client may have put one of its own before the broker's.
        self.got.append(Got(topic, bytes(message.payload), names[-1] if names else None))
        self._tell()


@contextmanager
def call(access: Access, client_id: str) -> Iterator[Call]:
    """A connection with the newest MQTT that the broker knows. Raises BrokerError."""
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(Call(access, client_id, "5"))
        except TooNew:
            entered = stack.enter_context(Call(access, client_id, "3.1.1"))
        yield entered


def stranger(access: Access) -> Access:
    """The same broker for somebody without a name: no user, no certificate."""
    return replace(access, username=None, password_file=None, tls=Tls(ca=access.tls.ca))
