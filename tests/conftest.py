"""What tests may need from the machine, and when a test that lacks it counts as failed.

A test skips where its need is not met, and says why. Under MQTT_IDS_STRICT=1, as in CI, a skipped
test that is marked `broker`, `runtime` or `data` fails, and so does a test file that skips itself
whole. Asking for the fixture `runtime` or `mqttset` marks a test by itself.
"""

import importlib.util
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine may stop for any while: that says nothing about the code.
settings.register_profile(
    "patient", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
)
settings.load_profile("patient")

STRICT = os.environ.get("MQTT_IDS_STRICT") == "1"
MUST_RUN = ("broker", "runtime", "data")
MARKED_BY_FIXTURE = {"runtime": "runtime", "mqttset": "data"}
# Tests of these folders that need a broker wait more than they work, and mind no others beside
# them; but some of their files hold an agent to seconds or megabytes.
WAITING = {Path(__file__).parent / name for name in ("bridge", "mosquitto", "plugin", "proxy")}
MEASURES = {
    "test_bridge_attacks.py",
    "test_bridge_held.py",
    "test_bridge_protect.py",
    "test_sidecar_attacks.py",
    "test_sidecar_memory.py",
    "test_sidecar_protect.py",
}
RUNTIMES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture, mark in MARKED_BY_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
        waits = item.path.parent in WAITING and item.path.name not in MEASURES
        if waits and item.get_closest_marker("broker") is not None:
            item.add_marker("patient")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = [mark for mark in MUST_RUN if item.get_closest_marker(mark)]
    if STRICT and needed and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report, f"marked {', '.join(needed)}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if STRICT and report.skipped:
        _fail(report, "a whole file")
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport, what: str) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"skipped under MQTT_IDS_STRICT=1 ({what}): {reason}"


@pytest.fixture(scope="session")
def runtime() -> str:
    """The TFLite runtime of this environment: ai-edge-litert, else tflite-runtime.

    MQTT_IDS_RUNTIME names the one that should be here: to test another one by accident is a skip.
    """
    found = next((name for name, module in RUNTIMES.items() if _installed(module)), None)
    if found is None:
        pytest.skip("no TFLite runtime is installed")
    wanted = os.environ.get("MQTT_IDS_RUNTIME", found)
    if found != wanted:
        pytest.skip(f"the TFLite runtime here should be {wanted}, but is {found}")
    return found


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@pytest.fixture(scope="session")
def mqttset() -> Path:
    """The folder of MQTTset captures that MQTTSET_DIR names."""
    named = os.environ.get("MQTTSET_DIR")
    if not named:
        pytest.skip("MQTTSET_DIR names no folder of captures")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"MQTTSET_DIR names {folder}, which is no folder")
    return folder
