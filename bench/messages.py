"""Messages a second through amqtt: bare, with a plugin that does nothing, and with ours."""

import contextlib
import statistics
import time

import clients
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


def run() -> list[Row]:
    """One row per broker. All three run at once and take turns, so that all share the weather."""
    rates: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    with contextlib.ExitStack() as stack:
        brokers = [stack.enter_context(running(kind)) for kind in KINDS]
        for one in brokers:
            _rate(one, "warm-up")
        for turn in range(ROUNDS):
            for one in brokers if turn % 2 else reversed(brokers):
                rates[one.kind].append(_rate(one, str(turn)))
    return [_row(kind, rates) for kind in KINDS]


def _row(kind: Kind, rates: dict[Kind, list[float]]) -> Row:
    own = rates[kind]
    spread = f"{min(own):,.0f} to {max(own):,.0f}"
    if kind == "bare":
        return Row(what=NAMES[kind], measured=_median(own), against=spread)
    other: Kind = "no-op" if kind == "ours" else "bare"
    ratio = statistics.median(a / b for a, b in zip(own, rates[other], strict=True))
    bar = f">= {BAR:.0%}" if kind == "ours" else ""
    return Row(
        what=NAMES[kind],
        measured=_median(own),
        against=f"{spread}; {ratio:.0%} of {'no-op' if other == 'no-op' else 'bare'}",
        bar=bar,
        met=ratio >= BAR if bar else None,
    )


def _median(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} messages/s"


def _rate(broker: Running, name: str) -> float:
    """Messages a second from the first byte sent to the last byte received."""
    message = clients.message("bench/load")
    reader = clients.subscribed(broker.port, f"reader-{name}", "bench/load", address="127.0.0.2")
    writer = clients.connected(broker.port, f"writer-{name}", address="127.0.0.3")
    with reader, writer:
        counter = clients.Counter(reader, MESSAGES * len(message))
        counter.start()
        start = time.perf_counter()
        writer.sendall(message * MESSAGES)
        counter.join(clients.PATIENCE)
        if counter.ended is None:
            raise RuntimeError(f"{NAMES[broker.kind]}: messages were lost")
        return MESSAGES / (counter.ended - start)
