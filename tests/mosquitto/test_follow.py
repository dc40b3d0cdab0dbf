"""The log file followed: rotation, absence, refusal; real files, and a writer that rotates."""

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mqtt_ids.sensors.mosquitto import follow
from mqtt_ids.sensors.mosquitto.follow import GRACE, LONGEST, MOST, Follower

NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
Follow = Callable[[], Follower]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mosquitto.log"
    path.write_bytes(b"before\n")
    return path


@pytest.fixture
def follower(log: Path) -> Iterator[Follower]:
    follower = Follower(log)
    yield follower
    follower.close()


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def rotate(path: Path, suffix: str = ".1") -> Path:
    return path.rename(path.with_name(path.name + suffix))


def test_it_begins_at_the_end(log: Path, follower: Follower) -> None:
    assert list(follower.read()) == []
    add(log, b"one\ntwo\n")
    assert list(follower.read()) == [b"one", b"two"]
    assert list(follower.read()) == []
    assert follower.state is None


def test_a_line_that_was_half_there_at_the_start_is_left_out(log: Path) -> None:
    add(log, b"half")
    follower = Follower(log)
    add(log, b" a line\nwhole\n")
    assert list(follower.read()) == [b"whole"]


def test_a_partial_line_waits_for_its_end(log: Path, follower: Follower) -> None:
    got: list[bytes] = []
    for byte in b"one\n\ntwo\n":
        add(log, bytes([byte]))
        got += follower.read()
    assert got == [b"one", b"", b"two"]


def test_only_a_newline_ends_a_line(log: Path, follower: Follower) -> None:
    strange = "a\u2028b\x0b\x0c\x1c\x85c\r".encode() + b"\xff\xfe\x00"
    add(log, strange + b"\n")
    assert list(follower.read()) == [strange]


def test_a_call_takes_a_bounded_share(log: Path, follower: Follower) -> None:
    add(log, b"x" * 99 + b"\n")
    add(log, (b"y" * 99 + b"\n") * (MOST // 50))
    first = list(follower.read())
    assert len(first) == MOST // 100
    assert follower.behind > 0
    rest = 0
    while follower.behind:
        rest += len(list(follower.read()))
    assert len(first) + rest == 1 + MOST // 50


def test_lines_are_kept_if_the_caller_stops_half_way(log: Path, follower: Follower) -> None:
    add(log, b"one\ntwo\n")
    assert next(follower.read()) == b"one"
    add(log, b"three\n")
    assert list(follower.read()) == [b"three"]  # two was handed over, and thrown away by its taker


@pytest.mark.parametrize("size", [LONGEST + 1, MOST - 1, MOST, 3 * MOST])
def test_a_huge_line_is_skipped_and_counted_once(log: Path, follower: Follower, size: int) -> None:
    add(log, b"one\n" + b"x" * size)
    got = list(follower.read())
    while follower.behind:
        got += follower.read()
    assert len(follower._partial) <= LONGEST
    add(log, b"x\ntwo\n")
    assert [*got, *follower.read()] == [b"one", b"two"]
    assert follower.too_long == 1


def test_the_longest_line_that_fits_is_kept(log: Path, follower: Follower) -> None:
    add(log, b"x" * LONGEST + b"\n" + b"y" * (LONGEST + 1) + b"\nz\n")
    assert list(map(len, follower.read())) == [LONGEST, 1]
    assert follower.too_long == 1


# Rotation.


def test_the_old_file_is_read_to_its_end_first(log: Path, follower: Follower) -> None:
    add(log, b"one\n")
    rotate(log)
    add(log, b"two\n")
    assert list(follower.read()) == [b"one", b"two"]


def test_the_old_file_is_read_until_the_writer_has_gone_on(log: Path, follower: Follower) -> None:
    old = rotate(log)
    log.touch()  # logrotate's `create`: the broker has not reopened yet
    add(old, b"one\n")
    assert list(follower.read()) == [b"one"]
    add(old, b"two\n")
    assert list(follower.read()) == [b"two"]
    add(log, b"three\n")
    assert list(follower.read()) == [b"three"]
    assert follower.behind == 0


def test_generations_that_came_and_went_between_two_calls_are_found(
    log: Path, follower: Follower
) -> None:
    for number in range(1, 6):
        add(log, b"%d\n" % number)
        for old in range(9, 0, -1):
            kept = log.with_name(f"{log.name}.{old}")
            if kept.exists():
                kept.rename(log.with_name(f"{log.name}.{old + 1}"))
        rotate(log)
        time.sleep(0.01)  # one tick of the clock that files are stamped with
    add(log, b"6\n")
    log.with_name(f"{log.name}.1.gz").write_bytes(b"no\n")
    log.with_name(f"{log.name}.bak").write_bytes(b"no\n")
    assert list(follower.read()) == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_a_writer_that_is_never_told_to_reopen_is_followed_for_ever(
    log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HELD", 4)
    with log.open("ab", buffering=0) as writer:
        for number in range(12):
            rotate(log, f".{number}")
            log.touch()
            writer.write(b"%d\n" % number)
            assert list(follower.read()) == [b"%d" % number]
    add(log, b"reopened\n")
    assert list(follower.read()) == [b"reopened"]
    assert len(follower._files) == 1


def test_a_last_line_without_end_is_given_when_the_file_is_done(
    log: Path, follower: Follower
) -> None:
    add(log, b"one\ncut off")
    rotate(log)
    add(log, b"two\n")
    assert list(follower.read()) == [b"one", b"cut off", b"two"]


def test_it_is_emptied_in_place(log: Path, follower: Follower) -> None:
    add(log, b"one\nand a ha")
    assert list(follower.read()) == [b"one"]
    os.truncate(log, 0)
    add(log, b"two\n")
    assert list(follower.read()) == [b"two"]
    assert (follower.cuts, follower.torn) == (1, 1)


def test_it_is_emptied_and_longer_than_before_at_the_next_call(
    log: Path, follower: Follower
) -> None:
    add(log, b"one\n")
    assert list(follower.read()) == [b"one"]
    os.truncate(log, 0)
    add(log, b"two\nthree\nfour\nfive\n")
    assert list(follower.read()) == [b"two", b"three", b"four", b"five"]
    assert follower.cuts == 1


def test_what_was_unread_at_the_cut_is_found_in_the_copy(log: Path, follower: Follower) -> None:
    add(log, b"one\ntw")
    assert list(follower.read()) == [b"one"]
    add(log, b"o\nthree\n")
    log.with_name(f"{log.name}.2").write_bytes(b"something else, as long as that\n")
    log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    add(log, b"four\n")
    assert list(follower.read()) == [b"two", b"three", b"four"]
    assert (follower.cuts, follower.torn) == (1, 0)


def test_it_was_cut_several_times_since_the_last_call(log: Path, follower: Follower) -> None:
    for number in range(1, 4):
        add(log, b"%d\n" % number)
        if number == 1:
            assert list(follower.read()) == [b"1"]
        log.with_name(f"{log.name}.{number}").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        time.sleep(0.01)
    add(log, b"4\n")
    assert list(follower.read()) == [b"2", b"3", b"4"]
    assert (follower.cuts, follower.behind) == (3, 0)


# Absence, refusal and their states.


def test_a_file_that_appears_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "later" / "mosquitto.log"
    follower = Follower(log)
    assert list(follower.read()) == []
    assert follower.state == f"{log} is not there; waiting for it"
    log.parent.mkdir()
    add(log, b"one\n")
    assert list(follower.read()) == [b"one"]
    assert follower.state is None


def test_a_short_absence_is_not_told_and_a_long_one_is(log: Path) -> None:
    times = [0.0]
    follower = Follower(log, clock=lambda: times[-1])
    old = rotate(log)
    add(old, b"one\n")
    assert list(follower.read()) == [b"one"]
    short = follower.state
    assert short is None
    times.append(GRACE)
    add(old, b"two\n")
    assert list(follower.read()) == [b"two"]
    assert follower.state is not None
    add(log, b"three\n")
    assert list(follower.read()) == [b"three"]
    assert follower.state is None


def test_it_is_deleted_and_made_anew(log: Path, follower: Follower) -> None:
    add(log, b"one\n")
    log.unlink()
    assert list(follower.read()) == [b"one"]
    add(log, b"two\n")
    assert list(follower.read()) == [b"two"]


def make_link(path: Path) -> None:
    target = path.with_name("secret")
    target.write_bytes(b"secret\n")
    path.symlink_to(target)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


REFUSED = [
    pytest.param(make_link, "symbolic link", id="link"),
    pytest.param(os.mkfifo, "pipe", id="pipe"),
    pytest.param(Path.mkdir, "folder", id="folder"),
    pytest.param(make_socket, "socket", id="socket"),
]


@pytest.mark.parametrize(("make", "word"), REFUSED)
def test_what_is_no_plain_file_is_refused_and_waited_out(
    log: Path, follower: Follower, make: Callable[[Path], None], word: str
) -> None:
    add(log, b"one\n")
    moved = rotate(log)
    make(log)
    add(moved, b"two\n")
    assert list(follower.read()) == [b"one", b"two"]
    state = follower.state
    assert state is not None
    assert word in state
    assert "\n" not in state
    assert list(follower.read()) == []
    log.rename(log.with_name("aside"))
    add(log, b"three\n")
    assert list(follower.read()) == [b"three"]
    assert follower.state is None


@pytest.mark.parametrize(("make", "word"), REFUSED)
def test_what_took_the_place_of_something_refused_is_followed_from_its_end(
    tmp_path: Path, make: Callable[[Path], None], word: str
) -> None:
    log = tmp_path / "mosquitto.log"
    make(log)
    follower = Follower(log)
    assert follower.state is not None
    log.rename(tmp_path / "aside")
    add(log, b"old\n")
    assert list(follower.read()) == []
    add(log, b"new\n")
    assert list(follower.read()) == [b"new"]


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "mosquitto.log"
    os.mkfifo(pipe)
    follower = Follower(pipe)
    list(follower.read())
    with pytest.raises(OSError, match="No such device or address"):  # nobody reads
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)


def deny(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """As for a user who may not read, for tests that run as root; gives how to allow again."""
    real = os.open

    def refuse(path: Path, flags: int) -> int:
        if str(path).endswith("mosquitto.log"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr("os.open", refuse)
    return lambda: monkeypatch.setattr("os.open", real)


def test_without_permission_it_begins_where_the_end_was_once_there_is_one(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow = deny(monkeypatch)
    follower = Follower(log)
    assert follower.state == f"{log} may not be read: no permission for this user"
    add(log, b"since the start\n")
    assert list(follower.read()) == []
    allow()
    assert list(follower.read()) == [b"since the start"]
    assert follower.state is None


def test_without_permission_for_the_new_file_the_old_one_is_read_on(
    log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow = deny(monkeypatch)
    old = rotate(log)
    add(old, b"one\n")
    add(log, b"two\n")
    assert list(follower.read()) == [b"one"]
    assert follower.state is not None
    allow()
    assert list(follower.read()) == [b"two"]


@NOT_ROOT
def test_a_file_of_somebody_else(log: Path) -> None:
    log.chmod(0)
    follower = Follower(log)
    assert follower.state is not None
    log.chmod(0o600)
    add(log, b"one\n")
    assert list(follower.read()) == [b"one"]


def test_a_disk_that_fails_is_told_and_reading_goes_on_after_the_last_line(
    log: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(log, b"one\ntw")
    assert list(follower.read()) == [b"one"]
    real = os.pread

    def fail(descriptor: int, most: int, position: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.pread", fail)
    for _ in range(3):
        assert list(follower.read()) == []
        assert follower.state == f"{log} cannot be read: Input/output error"
    monkeypatch.setattr("os.pread", real)
    add(log, b"o\nthree\n")
    assert list(follower.read()) == [b"two", b"three"]
    assert follower.state is None


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_descriptor_is_left_open(log: Path) -> None:
    before = descriptors()
    follower = Follower(log)
    for number in range(20):
        rotate(log, f".{number}")
        add(log, b"x\n")
        list(follower.read())
    assert descriptors() == before + 1
    follower.close()
    assert descriptors() == before


def test_any_way_of_writing_and_rotating_gives_the_same_lines(log: Path) -> None:
    for seed in range(150):
        chance = random.Random(seed)
        follower = Follower(log)
        written, old = bytearray(), 0
        got: list[bytes] = []
        for _ in range(60):
            what = chance.randrange(10)
            if what == 0:
                rotate(log, f".{seed}{old}")
                old += 1
                log.touch()
            elif what < 7:
                line = bytes(chance.choices(b"abc\r\xff \x00", k=chance.randrange(12))) + b"\n"
                written += line
                add(log, line)
            else:
                got += follower.read()
        got += follower.read()
        assert got == bytes(written).split(b"\n")[:-1], seed
        follower.close()
        for path in log.parent.iterdir():
            path.unlink()
        log.touch()


# Under load.

LINES = 100_000
WRITER = """
import os, shutil, sys, time
path, how, lines, every = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def reopen():
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
out, kept = reopen(), 0
for number in range(lines):
    what = b"Received PUBLISH from sensor (d0, q0, r0, m0, 'a/b', ... (40 bytes))"
    os.write(out, b"%d: %s\\n" % (number, what))
    if number % every == every - 1:
        if how == "rename":
            for old in range(min(kept, 60), 0, -1):
                os.rename(f"{path}.{old}", f"{path}.{old + 1}")
            os.rename(path, path + ".1")
            kept += 1
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        elif how == "copy":
            shutil.copyfile(path, path + ".1")
            os.truncate(path, 0)
    if how == "rename" and number % every == 100:  # the broker is told to reopen a little later
        os.close(out)
        out = reopen()
"""


def follow_writer(log: Path, how: str, every: int, nap: float) -> tuple[list[int], Follower]:
    """The numbers read while a process writes and rotates."""
    log.write_bytes(b"")
    follower = Follower(log)
    command = [sys.executable, "-c", WRITER, str(log), how, str(LINES), str(every)]
    numbers: list[int] = []
    with subprocess.Popen(command) as writer:
        while True:
            ended = writer.poll() is not None
            found = [int(line.partition(b":")[0]) for line in follower.read()]
            numbers += found
            if ended and not found:
                break
            if not follower.behind:
                time.sleep(nap)
    assert writer.returncode == 0
    follower.close()
    return numbers, follower


@pytest.mark.parametrize(("every", "nap"), [(5000, 0.0), (5000, 0.1), (2000, 0.02)])
def test_nothing_is_lost_when_the_log_is_renamed_under_load(
    log: Path, every: int, nap: float
) -> None:
    numbers, follower = follow_writer(log, "rename", every, nap)
    assert numbers == list(range(LINES))
    assert (follower.cuts, follower.too_long, follower.state) == (0, 0, None)


def test_what_a_copy_saves_is_found_when_the_log_is_cut_under_load(log: Path) -> None:
    # This writer waits for the copy, so nothing falls between copy and cut.
    numbers, follower = follow_writer(log, "copy", 20_000, 0.01)
    assert numbers == list(range(LINES))
    assert (follower.cuts, follower.torn) == (LINES // 20_000, 0)


ROTATOR = """
import os, shutil, sys, time
path = sys.argv[1]
for number in range(8):
    time.sleep(0.1)
    shutil.copyfile(path, f"{path}.{number}")
    os.truncate(path, 0)
"""


def test_what_is_in_neither_copy_nor_file_is_all_that_a_cut_loses(log: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ROTATOR, str(log)]) as rotator:
        numbers, follower = follow_writer(log, "none", LINES, 0.005)
    assert rotator.returncode == 0
    files = [*log.parent.glob("mosquitto.log.*"), log]
    there = {
        int(line.partition(b":")[0])
        for file in files
        for line in file.read_bytes().split(b"\n")[:-1]
    }
    assert numbers == sorted(numbers)
    assert len(numbers) == len(set(numbers))
    assert 0 < follower.cuts <= 8
    if follower.cuts == 8:  # else the machine stopped us for longer than from one cut to the next
        assert set(numbers) >= there
