"""Messages a second through amqtt: bare, with a plugin that does nothing, and with ours."""

import contextlib
import statistics
import time

import clients
import msgspec
from broker import KINDS, Kind, Running, running
from report import Row

MESSAGES = 10_000
ROUNDS = 13
BAR = 0.85
NAMES: dict[Kind, str] = {
    "bare": "amqtt bare",
    "no-op": "amqtt, a no-op plugin on the same events",
    "ours": "amqtt, our plugin",
}


class Trial(msgspec.Struct, frozen=True):
    """One load through one broker: messages a second, and its processor time per message."""

    rate: float
    cpu: float


def run() -> list[Row]:
    """One row per broker. All three run at once and take turns, so that all share the weather."""
    trials: dict[Kind, list[Trial]] = {kind: [] for kind in KINDS}
    with contextlib.ExitStack() as stack:
        brokers = [stack.enter_context(running(kind)) for kind in KINDS]
        for one in brokers:
            _load(one, "warm-up")
        for turn in range(ROUNDS):
            for one in brokers if turn % 2 else reversed(brokers):
                trials[one.kind].append(_load(one, str(turn)))
    return [
        _row("bare", trials["bare"]),
        _row("no-op", trials["no-op"], trials["bare"], "bare"),
        _row("ours", trials["ours"], trials["no-op"], "no-op"),
    ]


def _row(kind: Kind, own: list[Trial], others: list[Trial] | None = None, name: str = "") -> Row:
    rate = statistics.median(trial.rate for trial in own)
    cpu = statistics.median(trial.cpu for trial in own)
    measured = f"{rate:,.0f} messages/s, {1e6 * cpu:.0f} µs of CPU each"
    if others is None:
        return Row(what=NAMES[kind], measured=measured)
    pairs = list(zip(own, others, strict=True))
    ratio = statistics.median(mine.rate / other.rate for mine, other in pairs)
    cost = statistics.median(mine.cpu / other.cpu for mine, other in pairs)
    return Row(
        what=NAMES[kind],
        measured=measured,
        against=f"{ratio:.0%} of the messages, {cost:.0%} of the CPU of {name}",
        bar=f">= {BAR:.0%}" if kind == "ours" else "",
        met=ratio >= BAR if kind == "ours" else None,
    )


def _load(broker: Running, name: str) -> Trial:
    """From the first byte sent to the last byte received."""
    message = clients.message("bench/load")
    reader = clients.subscribed(broker.port, f"reader-{name}", "bench/load", address="127.0.0.2")
    writer = clients.connected(broker.port, f"writer-{name}", address="127.0.0.3")
    with reader, writer:
        counter = clients.Counter(reader, MESSAGES * len(message))
        counter.start()
        start, used = time.perf_counter(), broker.cpu()
        writer.sendall(message * MESSAGES)
        counter.join(clients.PATIENCE)
        if counter.ended is None:
            raise RuntimeError(f"{NAMES[broker.kind]}: messages were lost")
        spent = counter.ended - start
        return Trial(MESSAGES / spent, (broker.cpu() - used) / MESSAGES)
