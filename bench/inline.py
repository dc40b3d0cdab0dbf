"""The bridge in front of a broker, beside a bare pass-through: messages, latency, memory."""

import contextlib
import functools
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import clients
import fronts
import loads
from fronts import HOST, Front, Kind
from loads import Trial
from report import Row

BAR: Final = 0.6
ROUNDS: Final = 11
LOGIN_ROUNDS: Final = 15
PINGS: Final = 100  # in a row
PING_ROUNDS: Final = 40
IDLE: Final = 5_000
IDLE_TLS: Final = 300
SETTLE: Final = 2.0  # seconds
OPEN_FILES: Final = 20_000
OPENSSL: Final = shutil.which("openssl")
KINDS: Final[tuple[Kind, ...]] = ("bare", "direct", "observe", "protect", "agent")
OURS: Final[frozenset[Kind]] = frozenset({"observe", "protect", "agent"})
NAMES: Final[Mapping[Kind, str]] = {
    "bare": "a bare pass-through",
    "direct": "no proxy",
    "observe": "ours in observe mode, no detector",
    "protect": "ours in protect mode, no detector",
    "agent": "the whole agent",
}

Load = Callable[[Front], Trial]
Broker = Callable[[], contextlib.AbstractContextManager[int]]


def run() -> list[Row]:
    """All figures. In front of one broker all run at once and take turns."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))
    bulk = f"one client, {loads.BULK} messages a write, QoS 0"
    turns: list[tuple[str, Load]] = [
        (f"{loads.CLIENTS} clients by turns, QoS {qos}", functools.partial(loads.by_turns, qos=qos))
        for qos in (0, 1)
    ]
    rows = [_idle(kind) for kind in KINDS if kind != "direct"]
    rows += _idle_tls()
    with _all(fronts.sink) as ready:
        rows += _latency(ready)
        rows += _compared("from TCP to CONNACK", "clients", loads.logins, ready, LOGIN_ROUNDS)
        for what, load in turns:
            rows += _compared(what, "messages", load, ready, ROUNDS, bar=True)
        rows += _compared(bulk, "messages", loads.in_bulk, ready, ROUNDS)
    if fronts.MOSQUITTO is None:
        return [*rows, Row(what="in front of Mosquitto", measured="not installed")]
    with _all(fronts.mosquitto) as ready:
        for what, load in (*turns, (bulk, loads.in_bulk)):
            rows += _compared(f"Mosquitto, {what}", "messages", load, ready, ROUNDS, bar=True)
    return rows


@contextlib.contextmanager
def _all(broker: Broker) -> Iterator[list[Front]]:
    """A broker, and one front of each kind."""
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(broker())
        yield [stack.enter_context(fronts.front(kind, target)) for kind in KINDS]


def _compared(
    what: str, unit: str, load: Load, ready: Sequence[Front], rounds: int, *, bar: bool = False
) -> list[Row]:
    """One row for each front. Each round is compared with the bare one of the same round."""
    trials: dict[Kind, list[Trial]] = {one.kind: [] for one in ready}
    for turn in range(rounds):
        for one in ready if turn % 2 else reversed(ready):
            trials[one.kind].append(load(one))
    return [
        _row(f"{what}: {NAMES[kind]}", unit, own, trials["bare"], bar=bar and kind in OURS)
        for kind, own in trials.items()
    ]


def _row(what: str, unit: str, own: list[Trial], bare: list[Trial], *, bar: bool) -> Row:
    rate = statistics.median(trial.rate for trial in own)
    cpu = sum(trial.cpu for trial in own) / sum(trial.done for trial in own)
    used = f", {_short(1e6 * cpu)} µs of CPU each" if cpu else ""
    measured = f"{rate:,.0f} {unit}/s{used}"
    if own is bare:
        return Row(what=what, measured=measured)
    ratios = [mine.rate / other.rate for mine, other in zip(own, bare, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    return Row(
        what=what,
        measured=measured,
        against=f"{ratio:.0%} of bare; half of {len(own)} rounds: {low:.0%} to {high:.0%}",
        bar=f">= {BAR:.0%}" if bar else "",
        met=ratio >= BAR if bar else None,
    )


def _short(value: float) -> str:
    """With two figures or more."""
    return f"{value:.0f}" if value >= 10.0 else f"{value:.2g}"


def _latency(ready: Sequence[Front]) -> list[Row]:
    """Of a PINGREQ and its answer, while nothing else goes on."""
    times: dict[Kind, list[float]] = {one.kind: [] for one in ready}
    for turn in range(PING_ROUNDS):
        for one in ready if turn % 2 else reversed(ready):
            times[one.kind] += loads.pings(one, PINGS)
    half, most = ({kind: _percentile(own, p) for kind, own in times.items()} for p in (50, 99))
    return [
        Row(
            what=f"there and back: {NAMES[kind]}",
            measured=f"p50 {half[kind]:.0f} µs, p99 {most[kind]:.0f} µs",
            against=""
            if kind == "direct"
            else f"{half[kind] - half['direct']:+.0f} and {most[kind] - most['direct']:+.0f} µs to"
            f" no proxy, {len(times[kind]):,} times",
        )
        for kind in times
    ]


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def _idle(kind: Kind) -> Row:
    """What clients take that have said CONNECT and no more."""
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(fronts.sink())
        one = stack.enter_context(fronts.front(kind, target))
        loads.greeted(one.port, 1)[0].close()
        before = one.memory()
        for link in loads.greeted(one.port, IDLE):
            stack.enter_context(link)
        time.sleep(SETTLE)
        each = (one.memory() - before) / IDLE
    return Row(
        what=f"{IDLE:,} idle connections: {NAMES[kind]}",
        measured=f"{each:.1f} kB each",
        against=f"{before / 1e3:.0f} MB without them",
    )


def _idle_tls() -> list[Row]:
    """The same through TLS, which we end."""
    what = f"{IDLE_TLS:,} idle connections by TLS: {NAMES['observe']}"
    if OPENSSL is None:
        return [Row(what=what, measured="no openssl to make a certificate")]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mqtt-ids-")))
        _make_certificate(OPENSSL, folder)
        target = stack.enter_context(fronts.sink())
        one = stack.enter_context(fronts.front("tls", target, folder))
        stack.enter_context(_secured(one, context))
        before = one.memory()
        for _ in range(IDLE_TLS):
            stack.enter_context(_secured(one, context))
        time.sleep(SETTLE)
        each = (one.memory() - before) / IDLE_TLS
    return [Row(what=what, measured=f"{each:.1f} kB each")]


def _secured(one: Front, context: ssl.SSLContext) -> socket.socket:
    link = context.wrap_socket(socket.create_connection((HOST, one.port), clients.PATIENCE))
    return clients.greet(link, "idle")


def _make_certificate(openssl: str, folder: Path) -> None:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench"
    command = [openssl, *words.split(), "-keyout", "server.key", "-out", "server.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
