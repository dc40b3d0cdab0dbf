"""Which tests against a Mosquitto may run side by side: those that wait more than they work."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
# They hold an agent to seconds or megabytes, and are steadier alone.
MEASURES = {"test_sidecar_attacks.py", "test_sidecar_memory.py", "test_sidecar_protect.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        here = item.path.parent == HERE and item.path.name not in MEASURES
        if here and item.get_closest_marker("broker") is not None:
            item.add_marker("patient")
