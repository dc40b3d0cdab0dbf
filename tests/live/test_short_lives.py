"""Whatever moment SIGKILL comes: what was promised is kept, and nothing is set aside."""

import json
import subprocess
import sys
from pathlib import Path

import short_lives


def test_fifty_kills_lose_nothing_that_was_promised(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, short_lives.__file__, str(tmp_path / "state"), "50", "7"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "set aside" not in result.stderr
    seen = json.loads(result.stdout)
    assert seen["written"] > 10, "snapshots were written between the kills"
    assert seen["accepted"] > 10
    assert seen["ban"] > 10
    assert seen["incident"] > 5
    assert seen["publishes"] > 1000
