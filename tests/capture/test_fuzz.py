"""A short run of the fuzzer; `make fuzz` runs a long one."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from mqtt_ids.decoder import Decoder
from mqtt_ids.packets import Packet

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
COUNT = 30_000


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("fuzz")


def test_no_input_breaks_a_promise(fuzz: ModuleType) -> None:
    fuzz.run(COUNT, seed=20)


class Fragile(Decoder):
    """A decoder with a fault of the kind that is looked for."""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]:
        if b"\xff\xff\xff\x7f" in bytes(data):
            raise IndexError("a length of 268,435,455")
        return super().feed(data)


class Forgetful(Decoder):
    """A decoder that loses what comes in pieces."""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]:
        packets = super().feed(data)
        self._buffer.clear()
        return packets


@pytest.mark.parametrize("broken", [Fragile, Forgetful])
def test_a_fault_is_found_and_found_again(
    fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch, broken: type[Decoder]
) -> None:
    monkeypatch.setattr(fuzz, "Decoder", broken)
    with pytest.raises(fuzz.FaultError, match="of seed 1: ") as found:
        fuzz.run(5000, seed=1)
    number = int(str(found.value).split()[1])
    with pytest.raises(fuzz.FaultError, match=f"input {number} of seed 1: "):
        fuzz.one_input(1, number, fuzz.Corpus())
