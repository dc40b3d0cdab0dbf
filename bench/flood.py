"""A client that publishes 50,000 messages as fast as it can, with keep-alive 0."""

import contextlib
import re
import time

import clients
from broker import Kind, running
from report import Row

MESSAGES = 50_000
CALM = 100  # clients that are connected beside it
SETTLE = 3.0  # seconds
MEMORY_BAR = 90.0  # MB with 100 clients
WORST_BAR = 130.0  # MB, whatever an attacker does
ALERT_BAR = 4.0  # seconds
ALARM = b'"active":true'


class Outcome:
    """What became of one broker under the flood. Memory in MB, times in seconds."""

    def __init__(self, before: float) -> None:
        self.before = before
        self.peak = self.after = before
        self.taken = 0.0
        self.alerted: float | None = None
        self.named = "nothing"


def run() -> list[Row]:
    """Memory and time to the alert; a bare broker for comparison."""
    bare, ours = _flood("bare"), _flood("ours")
    name = f"{MESSAGES:,} messages, keep-alive 0"
    alerted = ours.alerted
    return [
        Row(
            what=f"broker with our plugin, {CALM} clients",
            measured=f"{ours.before:.0f} MB",
            against=f"{bare.before:.0f} MB bare",
            bar=f"<= {MEMORY_BAR:.0f}",
            met=ours.before <= MEMORY_BAR,
        ),
        Row(
            what=f"{name}: memory at its peak",
            measured=f"{ours.peak:.0f} MB, {ours.after:.0f} after",
            against=f"{bare.peak:.0f} MB bare",
            bar=f"<= {WORST_BAR:.0f}",
            met=ours.peak <= WORST_BAR,
        ),
        Row(
            what=f"{name}: all delivered after",
            measured=f"{ours.taken:.1f} s",
            against=f"{bare.taken:.1f} s bare",
        ),
        Row(
            what=f"{name}: alert after",
            measured="none" if alerted is None else f"{alerted:.1f} s ({ours.named})",
            bar=f"<= {ALERT_BAR:.0f}",
            met=alerted is not None and alerted <= ALERT_BAR,
        ),
    ]


def _flood(kind: Kind) -> Outcome:
    with running(kind) as broker, contextlib.ExitStack() as stack:
        for number in range(CALM):
            link = clients.connected(broker.port, f"calm-{number}", address=f"127.0.1.{number}")
            stack.enter_context(link).sendall(clients.message(f"home/{number}"))
        alerts = clients.subscribed(broker.port, "phone", "$ids/alerts", address="127.0.0.2")
        reader = clients.subscribed(broker.port, "reader", "bench/#", address="127.0.0.3")
        writer = clients.connected(broker.port, "flooder", address="127.0.0.66", keep_alive=0)
        for link in (alerts, reader, writer):
            stack.enter_context(link)
        message = clients.message("bench/flood")
        listener = clients.Listener(alerts, ALARM)
        counter = clients.Counter(reader, MESSAGES * len(message))
        listener.start()
        counter.start()
        time.sleep(SETTLE)
        outcome = Outcome(broker.memory("VmRSS"))
        start = time.perf_counter()
        writer.sendall(message * MESSAGES)
        counter.join(clients.PATIENCE)
        listener.join(0.0 if kind == "bare" else ALERT_BAR)
        time.sleep(SETTLE)
        outcome.peak, outcome.after = broker.memory("VmHWM"), broker.memory("VmRSS")
        if counter.ended is None:
            raise RuntimeError(f"{kind}: messages were lost")
        outcome.taken = counter.ended - start
        if listener.heard is not None:
            outcome.alerted = listener.heard - start
            outcome.named = _name(listener.data)
        return outcome


def _name(data: bytes) -> str:
    names = re.findall(rb'"attack":"([a-z-]+)"', data)
    return names[-1].decode() if names else "unnamed"
