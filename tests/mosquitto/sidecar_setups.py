"""Mosquitto as people set it up, each with an agent beside it that sees what it can there."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from hands_tools import OWN, PASSWORD, Guarded
from live_broker import HOST
from live_home import LISTENER, logins, password
from mosquitto_broker import Mosquitto, passwords
from sidecar_tools import Agent
from tls_relay import Relay, make_certificates

HOME: Final = "home"  # the role of those who live there


class Setup(NamedTuple):
    """A broker that runs and an agent that is to. Clients come to `port`, without TLS.

    `source` is the column of the documentation's table.
    """

    port: int
    source: str
    agent: Agent
    agent_first: bool = True  # else the home is there before it

    @property
    def is_crowd(self) -> bool:
        """Whether nobody is told by name who publishes."""
        return self.source != "everything"

    @property
    def is_blind(self) -> bool:
        """Whether messages are all that is seen."""
        return self.source == "none"


def _by_file(folder: Path, *, everything: bool) -> Mosquitto:
    users = passwords(folder, logins())
    lines = ["allow_anonymous false", f"password_file {users}"]
    if everything:
        return Mosquitto(folder, *lines, "log_dest topic", file_log=True)
    log = f"log_dest file {folder / 'mosquitto.log'}"
    return Mosquitto(folder, *lines, log, verbose=False)


def _agent(folder: Path, url: str, log: Path | None, ca: Path | None = None) -> Agent:
    """One that logs in as the home's listener does, and writes its alerts into a file too."""
    user, env = LISTENER, {"MQTT_IDS_PASSWORD": password(LISTENER)}
    tls = {} if ca is None else {"ca": str(ca)}
    export = {"file": str(folder / "a" / "alerts.jsonl")}
    url = url.replace("//", f"//{user}@")
    return Agent(folder / "a", url, log=log, env=env, tls=tls, export=export)


@contextmanager
def _with_everything(folder: Path) -> Iterator[Setup]:
    with _by_file(folder, everything=True) as broker:
        yield Setup(broker.port, "everything", _agent(folder, broker.url, broker.log))


@contextmanager
def _as_debian(folder: Path) -> Iterator[Setup]:
    with _by_file(folder, everything=False) as broker:
        yield Setup(broker.port, "default", _agent(folder, broker.url, broker.log))


@contextmanager
def _by_topics(folder: Path) -> Iterator[Setup]:
    lines = ("allow_anonymous false", f"password_file {passwords(folder, logins())}")
    with Mosquitto(folder, *lines, "log_dest topic", verbose=False) as broker:
        agent = _agent(folder, broker.url, None)
        yield Setup(broker.port, "default", agent, agent_first=False)


@contextmanager
def _by_subscription(folder: Path) -> Iterator[Setup]:
    lines = ("allow_anonymous false", f"password_file {passwords(folder, logins())}")
    with Mosquitto(folder, *lines, "log_dest none", verbose=False) as broker:
        yield Setup(broker.port, "none", _agent(folder, broker.url, None), agent_first=False)


@contextmanager
def _with_dynamic_security(folder: Path) -> Iterator[Setup]:
    with Guarded(folder) as broker:
        broker.add_own_user()
        broker.ctrl("createRole", HOME)
        for kind in ("publishClientSend", "subscribePattern"):
            broker.ctrl("addRoleACL", HOME, kind, "#", "allow")
        for user, secret in logins().items():
            broker.ctrl("createClient", user, "-p", secret)
            broker.ctrl("addClientRole", user, HOME)
        url = f"mqtt://{OWN}@{HOST}:{broker.port}"
        agent = Agent(folder / "a", url, log=broker.log, env={"MQTT_IDS_PASSWORD": PASSWORD})
        yield Setup(broker.port, "everything", agent, agent_first=False)


@contextmanager
def _over_tls(folder: Path) -> Iterator[Setup]:
    make_certificates(folder)
    lines = (
        "allow_anonymous false",
        f"password_file {passwords(folder, logins())}",
        f"certfile {folder / 'server.pem'}",
        f"keyfile {folder / 'server.key'}",
        "log_dest topic",
    )
    ca = folder / "ca.pem"
    with (
        Mosquitto(folder, *lines, file_log=True) as broker,
        Relay(broker.port, ca) as relay,
    ):
        url = broker.url.replace("mqtt:", "mqtts:")
        agent = _agent(folder, url, broker.log, ca)
        yield Setup(relay.port, "everything", agent, agent_first=False)


SETUPS: Final[Mapping[str, Callable[[Path], AbstractContextManager[Setup]]]] = {
    "everything": _with_everything,
    "dynamic security": _with_dynamic_security,
    "TLS": _over_tls,
    "Debian's default": _as_debian,
    "log topics": _by_topics,
    "no log": _by_subscription,
}
