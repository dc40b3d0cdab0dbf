"""The inline proxy beside a bare pass-through: messages a second, added latency, idle memory."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bare_proxy import serve
from report import Row

from mqtt_ids.events import SEES_ALL, AnyEvent
from mqtt_ids.readers import HostPort
from mqtt_ids.sensors.proxy.options import Listener, Options, Upstream
from mqtt_ids.sensors.proxy.proxy import Proxy

HOST = "127.0.0.1"
KINDS = ("direct", "bare", "observe", "protect", "detect")
MESSAGES = {0: 40_000, 1: 8_000}
IN_FLIGHT = 20  # QoS 1 messages that wait for their answer
ROUNDS = 5
PINGS = 2_000
IDLE = 5_000
BAR = 0.6
CONNECT = b"\x10\x14\0\4MQTT\4\2\0\0\0\x08"  # and eight characters of client id


class Deaf:
    """Hears events and does nothing."""

    def feed(self, event: AnyEvent) -> None:
        """Nothing."""

    def barred(self, **_: object) -> None:
        """Nobody."""


class Detecting(Deaf):
    """Hands events on to the detector, without its ticks."""

    def __init__(self) -> None:
        from mqtt_ids.models import open_detector  # noqa: PLC0415 - only where it is measured
        from mqtt_ids.settings import Settings  # noqa: PLC0415

        self.feed = open_detector(Settings(), SEES_ALL).feed  # type: ignore[method-assign]


def main(kind: str, port: int, target: int, loop: str) -> None:
    """What runs in the process of its own."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(kind, port, target))


async def _serve(kind: str, port: int, target: int) -> None:
    if kind == "bare":
        await serve(port, target)
    reserved = (b"$ids/",) if kind == "protect" else ()
    proxy = Proxy(
        Upstream(address=HostPort(HOST, target)),
        Options(reserved=reserved, max_connections=10_000),
        Detecting() if kind == "detect" else Deaf(),
    )
    await proxy.start([Listener(address=HostPort(HOST, port))])
    await asyncio.Event().wait()


def _free() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _process(*command: str, port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _broker() -> Iterator[int]:
    port = _free()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "m.conf")
        file.write_text(
            f"listener {port} {HOST}\nallow_anonymous true\nuser root\nmax_inflight_messages 0\n"
            "max_queued_messages 0\nlog_dest none\nset_tcp_nodelay true\n"
        )
        with _process("/usr/sbin/mosquitto", "-c", str(file), port=port):
            yield port


@contextlib.contextmanager
def _front(kind: str, target: int, loop: str) -> Iterator[tuple[int, int]]:
    """Its port, and its process's id."""
    if kind == "direct":
        yield target, 0
        return
    port = _free()
    code = f"import inline; inline.main({kind!r}, {port}, {target}, {loop!r})"
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    with _process(sys.executable, "-c", code, port=port) as pid:
        yield port, pid


def _client(port: int, name: str) -> socket.socket:
    one = socket.create_connection((HOST, port), timeout=20)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.sendall(CONNECT + name.encode().ljust(8, b"-")[:8])
    if _exactly(one, 4)[3] != 0:
        raise ConnectionRefusedError(name)
    return one


def _exactly(one: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = one.recv(count - len(data))
        if not more:
            raise ConnectionResetError("closed")
        data += more
    return data


def _load(port: int, qos: int, turn: str) -> float:
    """Messages a second, until the broker has answered what came behind the last."""
    one = _client(port, f"load{turn}")
    count = MESSAGES[qos]
    body = b"\0\x0ehome/room/temp" + (b"" if not qos else b"\0\1") + b"21.500000000"
    packet = bytes((0x30 | qos << 1, len(body))) + body
    start = time.perf_counter()
    if qos == 0:
        for _ in range(count // 100):
            one.sendall(packet * 100)
        one.sendall(b"\xc0\0")
        _exactly(one, 2)
    else:
        for _ in range(count // IN_FLIGHT):
            one.sendall(packet * IN_FLIGHT)
            _exactly(one, 4 * IN_FLIGHT)
    taken = time.perf_counter() - start
    one.close()
    return count / taken


def _pings(port: int) -> list[float]:
    one = _client(port, "pings")
    times = []
    for _ in range(PINGS):
        start = time.perf_counter()
        one.sendall(b"\xc0\0")
        _exactly(one, 2)
        times.append(1e6 * (time.perf_counter() - start))
    one.close()
    return sorted(times)


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has taken; 0 for none."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Resident kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def _idle(port: int, pid: int, count: int) -> float:
    """Kilobytes that a connection takes, which has said CONNECT and nothing more."""
    before = _memory(pid)
    held = [_client(port, f"{number:08}") for number in range(count)]
    time.sleep(1)
    after = _memory(pid)
    for one in held:
        one.close()
    return (after - before) / count


def run(loop: str = "asyncio") -> list[Row]:
    """All fronts run at once and take turns, so that all share the weather."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    rows = []
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(_broker())
        fronts = {kind: stack.enter_context(_front(kind, target, loop)) for kind in KINDS}
        for qos in (0, 1):
            rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
            spent = {kind: -_cpu(pid) for kind, (_, pid) in fronts.items()}
            for turn in range(ROUNDS):
                for kind, (port, _) in fronts.items():
                    rates[kind].append(_load(port, qos, f"{qos}{turn}{kind[0]}"))
            for kind, (_, pid) in fronts.items():
                spent[kind] += _cpu(pid)
            bare = rates["bare"]
            for kind, own in rates.items():
                ratio = statistics.median(a / b for a, b in zip(own, bare, strict=True))
                rows.append(
                    Row(
                        what=f"{kind}, QoS {qos} ({loop})",
                        measured=f"{statistics.median(own):,.0f} messages/s,"
                        f" {1e6 * spent[kind] / ROUNDS / MESSAGES[qos]:.2f} µs of CPU each",
                        against=f"{100 * ratio:.0f} % of bare",
                        bar=f"≥ {100 * BAR:.0f} %" if kind not in {"direct", "bare"} else "",
                        met=ratio >= BAR if kind not in {"direct", "bare"} else None,
                    )
                )
        base = _pings(target)
        for kind, (port, _) in fronts.items():
            own = _pings(port)
            shown = [
                f"p{p} {own[len(own) * p // 100]:.0f} µs"
                f" (+{own[len(own) * p // 100] - base[len(base) * p // 100]:.0f})"
                for p in (50, 99)
            ]
            rows.append(Row(what=f"{kind}, a ping ({loop})", measured=", ".join(shown)))
        for kind in ("bare", "observe", "protect"):
            size = _idle(*fronts[kind], IDLE)
            what = f"{kind}, an idle connection of {IDLE:,} ({loop})"
            rows.append(Row(what=what, measured=f"{size:.1f} kB"))
    return rows


if __name__ == "__main__":
    import report

    report.show(run(*sys.argv[1:]))
