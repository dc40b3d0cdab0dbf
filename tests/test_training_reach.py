"""Training cannot reach the captures: not by what it imports, and not by what it opens.

The shipped model is trained by `python -m mqtt_ids.lab`. Here that is run small, under a hook that
the interpreter calls at every file that Python code opens, in worker processes too.
"""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TRAINING = ("mqtt_ids.lab.__main__", "mqtt_ids.lab.schooling")
OURS = ("mqtt_ids", "mqtt_ids_model", "mqtt_ids_plugin")
FORBIDDEN = ("mqtt_ids.sensors", "mqtt_ids.sources", "mqtt_ids.evaluating", "dpkt")

# Says which files are opened and which folders are looked into, in workers too, line by line.
HOOK = """
import json, multiprocessing, os, sys
def hook(event, arguments, log=os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
    if event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], (str, bytes)):
        os.write(log, json.dumps(os.path.realpath(os.fsdecode(arguments[0]))).encode() + b"\\n")
sys.addaudithook(hook)
multiprocessing.set_start_method("fork")
"""
# The whole training, of few homes and for few epochs.
TRAIN = """
from pathlib import Path
from mqtt_ids.lab import schooling
small = {
    "TRAIN_HOMES": range(1000, 1004), "CALIBRATION_HOMES": range(5000, 5004),
    "HOURS": 0.6, "CALIBRATION_HOURS": 0.6, "START_HOURS": 0.02,
    "COURSE": schooling.Course(epochs=(1, 1), tuning=1, rate=1e-3, hard=100),
}
for name, value in small.items():
    assert hasattr(schooling, name), name
    setattr(schooling, name, value)
schooling.school(Path(sys.argv[2]), 1, print, workers=2)
"""
# What it must not do, in a worker.
CHEAT = """
import pathlib
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(1) as pool:
    folder = pathlib.Path(os.environ["MQTTSET_DIR"])
    print(pool.submit(pathlib.Path.read_bytes, folder / "legitimate.pcap").result())
"""


def run(*arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={**os.environ, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_forbidden(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in FORBIDDEN)


# --- by imports ----------------------------------------------------------------------------------


def source(module: str) -> Path | None:
    """The file of one of our own modules, or None where this names none."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # its "parent" is a module and no package
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin)


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree: ast.AST) -> Iterator[str]:
    """What is imported anywhere, inside functions too; `from a import b` may mean a.b."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports are not followed here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not is_for_types_only(node):
            yield from imports(node)


def reached(*roots: str) -> dict[str, str]:
    """Every module that these import, however indirectly, and the chain that leads to it."""
    chains = {root: root for root in roots}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        path = source(module) if module.partition(".")[0] in OURS else None
        if path is None:
            continue
        parent = module.rpartition(".")[0]  # is run first
        for found in (*([parent] if parent else []), *imports(ast.parse(path.read_text()))):
            if found not in chains:
                chains[found] = f"{chains[module]} -> {found}"
                waiting.append(found)
    return chains


def test_nothing_that_training_imports_can_read_a_capture() -> None:
    chains = reached(*TRAINING)
    assert "mqtt_ids.lab.samples" in chains
    assert [chain for module, chain in chains.items() if is_forbidden(module)] == []


@pytest.mark.parametrize("root", ["mqtt_ids.evaluating.mixing", "mqtt_ids.sources.source"])
def test_what_reads_captures_would_be_seen(root: str) -> None:
    assert "dpkt" in reached(root)


def test_nothing_that_training_loads_can_read_a_capture() -> None:
    script = f"import sys, json, {', '.join(TRAINING)}; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(run("-c", script))
    assert set(TRAINING) < set(loaded)
    assert [module for module in loaded if is_forbidden(module)] == []


# --- by behaviour --------------------------------------------------------------------------------


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "legitimate.pcap").write_bytes(b"a capture")
    return folder


def opened(script: str, tmp_path: Path, captures: Path) -> list[Path]:
    """What `script` opens beside the interpreter and the packages; its output goes to tmp/out."""
    log, out = tmp_path / "log", tmp_path / "out"
    environment = {"MQTTSET_DIR": str(captures)}
    assert run("-c", HOOK + script, str(log), str(out), environment=environment)
    installed = [sys.prefix, sys.base_prefix, *json.loads(run("-c", SYS_PATH))]
    allowed = [Path(os.path.realpath(one)) for one in installed if one]
    assert not any(captures.is_relative_to(one) for one in allowed)
    paths = {Path(json.loads(line)) for line in log.read_text().splitlines()}
    paths.discard(Path(os.devnull))  # a worker's standard input
    return sorted(one for one in paths if not any(map(one.is_relative_to, allowed)))


SYS_PATH = "import sys, json; print(json.dumps(sys.path))"


def test_training_opens_nothing_but_its_output(tmp_path: Path, captures: Path) -> None:
    found = opened(TRAIN, tmp_path, captures)
    out = tmp_path / "out"
    assert (out / "model.tflite").stat().st_size > 0
    assert [path for path in found if not path.is_relative_to(out)] == []


def test_a_capture_that_is_opened_would_be_seen(tmp_path: Path, captures: Path) -> None:
    assert opened(CHEAT, tmp_path, captures) == [captures / "legitimate.pcap"]
