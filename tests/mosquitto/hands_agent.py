"""Run by tests, as an agent without eyes: store, responder, hands and link, told by its input.

Arguments: the state folder, the broker's host, port and our user (empty: no link). Each line of
input is JSON; each line of output is what came of it.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mqtt_ids.alerts import Alert
from mqtt_ids.hands.hands import Hands
from mqtt_ids.policy import Handle, Neighbours, Scene
from mqtt_ids.responders.act import Responder
from mqtt_ids.settings import Settings
from mqtt_ids.store import Store
from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.uplink import Pace, Received, State, Uplink


class Agent:
    def __init__(self, folder: Path, host: str, port: int, user: str) -> None:
        self.settings = Settings.from_mapping({"mode": "protect", "state_dir": str(folder)})
        self.store = Store(folder, incidents_kept=100)
        self.hands = Hands(publish=self.publish, own_username=user, host=host, ports=(port,))
        self.responder = Responder(self.settings, self.hands, self.store, self.failed)
        self.link: Uplink | None = None
        if user:
            self.link = Uplink(
                Access.of(f"mqtt://{user}@{host}:{port}", password_file=folder / "password"),
                client_id="mqtt-ids-hands",
                filters=list(Hands.filters),
                on_state=self.on_state,
                on_message=self.on_message,
                pace=Pace(first=0.05, most=0.2),
            )

    def publish(self, topic: str, payload: bytes) -> None:
        if self.link is not None:
            self.link.publish(topic, payload, qos=0)

    def on_message(self, message: Received) -> None:
        self.hands.take(message.topic, message.payload)

    def on_state(self, state: State) -> None:
        if state.name == "online":
            self.hands.online()
        elif state.name in {"away", "refused"}:
            self.hands.away()

    def failed(self, what: str, error: Exception) -> None:
        say(failed=f"{what}: {error}")

    def alert(self, clients: list[str], near: list[str], **fields: Any) -> Alert:  # noqa: ANN401
        now = time.monotonic()
        one = Alert(
            id=str(fields.pop("id", time.time_ns())),
            state="open",
            active=True,
            severity="high",
            attack="flood",
            confidence=0.9,
            time=now,
            first_seen=now,
            clients=tuple(clients),
            client_count=len(clients),
            **fields,
        )
        neighbours = Neighbours(username=tuple(near), connected=20)
        return self.responder.respond(one, neighbours, Scene(), time.time())

    async def obey(self, line: dict[str, Any]) -> None:
        now = time.time()
        match line.pop("do"):
            case "alert":
                told = self.alert(**line)
                say(action=told.action, reason=told.action_reason)
            case "ban":
                handle = Handle(line["kind"], line["value"])
                self.responder.impose(handle, line["seconds"], "test", now)
                say(banned=handle.value)
            case "lift":
                self.responder.lift(Handle(line["kind"], line["value"]), now)
                say(lifted=line["value"])
            case "release":
                say(released=self.responder.release(now))
            case "state":
                say(
                    offers=sorted(self.hands.offers),
                    reasons=self.hands.reasons,
                    bans=[ban.handle.value for ban in self.responder.bans],
                    written=[ban.handle.value for ban in self.store.bans()],
                    audit=[[entry.what, entry.why] for entry in self.store.audit(20)],
                )

    async def run(self) -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        self.store.open()
        await self.hands.start()
        self.responder.restore(self.store.bans(), time.time())
        if self.link is not None:
            await self.link.start()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        tasks = [asyncio.create_task(self.listen(reader)), asyncio.create_task(self.beat())]
        say(started=True)
        await over.wait()
        for task in tasks:
            task.cancel()
        self.responder.let_everybody_in()
        await self.hands.stop()
        if self.link is not None:
            await self.link.stop()
        self.store.close()

    async def listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            try:
                await self.obey(json.loads(line))
            except Exception as error:  # noqa: BLE001 - the test shall see it
                say(error=str(error))

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            self.hands.pass_time(time.monotonic())
            self.responder.expire(time.time())


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    folder, host, port, user = sys.argv[1:]
    asyncio.run(Agent(Path(folder), host, int(port), user).run())
