"""Questions to Mosquitto's dynamic security, and the answers that are ours.

Answers go to every subscriber, those to other administrators as well: each question carries a
name that nobody can guess, and what answers none of ours is passed over.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec

REQUESTS: Final = "$CONTROL/dynamic-security/v1"
ANSWERS: Final = "$CONTROL/dynamic-security/v1/response"
WITHIN: Final = 5.0  # seconds for an answer

Command = Mapping[str, object]


class Unanswered(Exception):  # noqa: N818 - it is no error of ours
    """Nobody has answered, so nobody knows whether it was done."""


class Answer(NamedTuple):
    """What came of one command: `error` is the broker's word for what was wrong."""

    error: str | None
    data: dict[str, object]


class _Response(msgspec.Struct):
    correlationData: str | None = None  # noqa: N815 - the broker's spelling
    error: str | None = None
    data: dict[str, object] = {}


class _Responses(msgspec.Struct):
    responses: list[_Response] = []


class Dialogue:
    """Asks by `publish(topic, payload)`, and is given by `take` what came back."""

    def __init__(self, publish: Callable[[str, bytes], None]) -> None:
        self._publish = publish
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._open: dict[str, asyncio.Future[Answer]] = {}

    async def ask(self, *commands: Command) -> list[Answer]:
        """The answers to these commands, in their order. Raises Unanswered."""
        loop = asyncio.get_running_loop()
        named = {f"{self._prefix}-{next(self._numbers)}": each for each in commands}
        futures: list[asyncio.Future[Answer]] = [loop.create_future() for _ in named]
        self._open.update(zip(named, futures, strict=True))
        body = [{**each, "correlationData": name} for name, each in named.items()]
        try:
            self._publish(REQUESTS, msgspec.json.encode({"commands": body}))
            async with asyncio.timeout(WITHIN):
                return [await future for future in futures]
        except TimeoutError:
            raise Unanswered(f"no answer within {WITHIN:g} s") from None
        finally:
            for name in named:
                self._open.pop(name, None)

    def take(self, payload: bytes) -> None:
        """What came on the topic for answers."""
        try:
            found = msgspec.json.decode(payload, type=_Responses)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return  # to somebody else, or of a broker that we do not know: ours will time out
        for response in found.responses:
            future = self._open.get(response.correlationData or "")
            if future is not None and not future.done():
                future.set_result(Answer(response.error, response.data))

    def broken(self) -> None:
        """The connection is gone, and the answers with it."""
        for future in self._open.values():
            if not future.done():
                future.set_exception(Unanswered("the connection was lost"))
