"""The home's broker, which logs nothing, with the agent in front; and who attacks there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridge_tools import SILENT
from live_broker import HOST, free_port
from live_home import ATTACKS, LISTENER, Attack, half_open, logins, password, slowite
from mosquitto_broker import Mosquitto, passwords
from relay import Relay
from sidecar_tools import Agent

EVERY: Final[Mapping[str, Attack]] = {
    **ATTACKS,
    "no keep-alive": Attack("slowite", 4.0, "127.0.1.7", lambda at: slowite(at, keep_alive=0)),
    "drip": Attack("slowite", 10.0, "127.0.1.8", lambda at: half_open(at, mode="drip")),
}
# One after the other, but those that load nobody go together.
ROUNDS: Final = (
    ("flood",),
    ("slowite", "no keep-alive", "half-open", "drip", "malformed", "brute-force"),
    ("dos",),
)


class Home(NamedTuple):
    """Clients come to `port`. The relay stands before the broker and notes who gets there."""

    port: int
    agent: Agent
    relay: Relay
    broker: Mosquitto


@contextmanager
def at_home(folder: Path, **settings: Any) -> Iterator[Home]:  # noqa: ANN401 - YAML
    """Only the home's users are let in, and the agent is the listener; `settings` are its keys."""
    port, users = free_port(), passwords(folder, logins())
    lines = ("allow_anonymous false", f"password_file {users}", *SILENT)
    with (
        Mosquitto(folder, *lines, verbose=False) as broker,
        Relay(broker.port) as relay,
        Agent(
            folder / "a",
            relay.url.replace("//", f"//{LISTENER}@"),
            env={"MQTT_IDS_PASSWORD": password(LISTENER)},
            listen=f"{HOST}:{port}",
            **settings,
        ) as agent,
    ):
        agent.wait_for("listening on")
        agent.wait_for("connected to")
        yield Home(port, agent, relay, broker)
