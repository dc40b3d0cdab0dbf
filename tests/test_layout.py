"""The project's shape: what may import what, how long a file may be, what the wheel carries."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import metadata, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "mqtt_ids": ROOT / "agent",
    "mqtt_ids_plugin": ROOT / "plugin",
    "mqtt_ids_model": ROOT / "model",
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINT = PYPROJECT["tool"]["ruff"]["lint"]
EDGES = [path for path, rules in LINT["per-file-ignores"].items() if "TID251" in rules]
BANNED = frozenset(LINT["flake8-tidy-imports"]["banned-api"])

# What only edges may load, however indirectly. (numpy itself loads socket and threading.)
LOADED_BY_EDGES_ONLY = ("asyncio", "amqtt", "paho")

NEVER_AN_EDGE = [
    "agent/mqtt_ids/alerts.py",
    "agent/mqtt_ids/attacks.py",
    "agent/mqtt_ids/decoder.py",
    "agent/mqtt_ids/detector.py",
    "agent/mqtt_ids/events.py",
    "agent/mqtt_ids/features.py",
    "agent/mqtt_ids/incidents.py",
    "agent/mqtt_ids/normal.py",
    "agent/mqtt_ids/packets.py",
    "agent/mqtt_ids/policy.py",
    "agent/mqtt_ids/verdicts.py",
    "agent/mqtt_ids/windows.py",
    "model/mqtt_ids_model/autoencoder.py",
    "model/mqtt_ids_model/scorer.py",
]

LONGEST_FILE = 320
# Longer for a reason: each holds a table.
LONGER_FILES: dict[str, int] = {}

# Extras that our own code imports, if they are there.
USED_EXTRAS = ("evaluate", "parquet", "plot")

# Paths that exist on one machine only.
MACHINE_PATH = re.compile(r"/(?:work|root|Users|tmp)/\w")


def sources() -> list[Path]:
    """Every Python file of the three packages."""
    return sorted(path for root in PACKAGES.values() for path in root.rglob("*.py"))


def name_of(path: Path) -> str:
    """The path from the project's folder, for messages and patterns."""
    return path.relative_to(ROOT).as_posix()


def is_edge(path: Path) -> bool:
    return any(fnmatch(name_of(path), pattern) for pattern in EDGES)


def imports(path: Path) -> Iterator[str]:
    """The name of each module that a file imports, inside functions too.

    A relative import stays within its package and is left out.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def module_of(path: Path) -> str:
    root = next(root for root in PACKAGES.values() if path.is_relative_to(root))
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_core_is_never_declared_an_edge() -> None:
    assert [path for path in NEVER_AN_EDGE if is_edge(ROOT / path)] == []


def test_each_edge_that_is_declared_exists() -> None:
    gone = [path for path in EDGES if path.endswith(".py") and not (ROOT / path).exists()]
    assert gone == [], "no longer there: take them out of per-file-ignores"


def test_core_imports_no_clock_no_socket_no_task_and_no_broker() -> None:
    guilty = [
        f"{name_of(path)} imports {module}"
        for path in sources()
        if not is_edge(path)
        for module in imports(path)
        if module.partition(".")[0] in BANNED
    ]
    assert guilty == []


def test_core_loads_no_task_and_no_broker_even_indirectly() -> None:
    core = [module_of(path) for path in sources() if not is_edge(path)]
    script = (
        f"import importlib, sys\nfor name in {core!r}: importlib.import_module(name)\n"
        f"print(*(name for name in {LOADED_BY_EDGES_ONLY!r} if name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.stdout.split(), run.returncode) == ([], 0), run.stderr


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("mqtt_ids_model", {"mqtt_ids", "mqtt_ids_plugin"}),
        ("mqtt_ids", {"mqtt_ids_plugin"}),
    ],
)
def test_imports_go_from_plugin_to_agent_to_model(package: str, forbidden: set[str]) -> None:
    guilty = [
        f"{name_of(path)} imports {module}"
        for path in PACKAGES[package].rglob("*.py")
        for module in imports(path)
        if module.partition(".")[0] in forbidden
    ]
    assert guilty == []


def test_each_package_that_is_imported_is_declared_and_no_other() -> None:
    project = PYPROJECT["project"]
    extras = [each for name in USED_EXTRAS for each in project["optional-dependencies"][name]]
    declared = {
        _normal(re.split(r"[^\w.-]", requirement)[0])
        for requirement in [*project["dependencies"], *extras]
    } - {project["name"]}  # an extra may bring another
    names = {module.partition(".")[0] for path in sources() for module in imports(path)}
    foreign = names - set(sys.stdlib_module_names) - set(PACKAGES) - {"_typeshed"}  # types only
    found = metadata.packages_distributions()
    imported = {_normal(each) for name in foreign for each in found.get(name, [name])}
    assert imported - declared == set(), "declare them in pyproject.toml"
    assert declared - imported == {"ai-edge-litert"}, "the runtimes are imported by name"


def _normal(name: str) -> str:
    """A package's name as all its spellings are: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_file_imports_a_folder_as_a_package() -> None:
    folders = {root.name for root in PACKAGES.values()}
    guilty = [
        f"{name_of(path)} imports {module}"
        for path in [*sources(), *(ROOT / "tests").rglob("*.py")]
        for module in imports(path)
        if module.partition(".")[0] in folders
    ]
    assert guilty == []


def test_no_file_grows_past_what_can_be_read_at_once() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources()}
    too_long = {
        path: length
        for path, length in lengths.items()
        if length > LONGER_FILES.get(path, LONGEST_FILE)
    }
    assert too_long == {}
    needless = [path for path in LONGER_FILES if lengths.get(path, 0) <= LONGEST_FILE]
    assert needless == [], "no longer long: take them out of LONGER_FILES"


def test_no_file_names_a_path_of_one_machine() -> None:
    folders = (*PACKAGES.values(), *(ROOT / name for name in ("tests", "docs", "examples", ".ci")))
    kinds = {".py", ".md", ".yaml", ".yml", ".json", ""}
    files = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    guilty = [
        f"{name_of(path)}: {found.group()}"
        for path in files
        if path.is_file() and path.suffix in kinds
        for found in MACHINE_PATH.finditer(path.read_text())
    ]
    assert guilty == []


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("mqtt_ids", "alert.schema.json"),
        ("mqtt_ids", "evaluating/report.html.jinja"),
        ("mqtt_ids", "py.typed"),
        ("mqtt_ids_model", "default/card.json"),
        ("mqtt_ids_model", "default/model.tflite"),
        ("mqtt_ids_model", "default/weights.npz"),
        ("mqtt_ids_model", "py.typed"),
        ("mqtt_ids_plugin", "py.typed"),
    ],
)
def test_the_package_carries_its_data(package: str, file: str) -> None:
    assert resources.files(package).joinpath(file).is_file()


@pytest.mark.skipif(os.environ.get("MQTT_IDS_STRICT") != "1", reason="only CI must test the wheel")
@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_is_tested_and_not_the_source_tree(package: str) -> None:
    assert "site-packages" in str(resources.files(package))
