"""A skip that must not happen in CI is a failure there, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest

@pytest.mark.broker
def test_no_broker(): pytest.skip("no broker here")

@pytest.mark.skipif(True, reason="no runtime here")
@pytest.mark.runtime
def test_no_runtime(): pass

def test_no_captures(mqttset): pass

def test_other_system(): pytest.skip("only on another system")

@pytest.mark.broker
@pytest.mark.xfail(reason="known")
def test_known(): assert False

@pytest.mark.broker
def test_fine(): pass
"""
WHOLE_FILE = 'import pytest\npytest.importorskip("no_such_module_here")\n'
SETTINGS = "[pytest]\nmarkers =\n  broker\n  runtime\n  data\n"


def outcomes(folder: Path, **extra: str) -> tuple[int, str]:
    """Exit code and output of a pytest of its own, with this project's conftest."""
    (folder / "conftest.py").write_bytes(Path(__file__).with_name("conftest.py").read_bytes())
    (folder / "pytest.ini").write_text(SETTINGS)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MQTT")}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(folder)],
        env={**kept, **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return run.returncode, run.stdout


def test_skips_pass_without_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES)
    code, output = outcomes(tmp_path)
    assert (code, "1 passed, 4 skipped, 1 xfailed" in output) == (0, True), output


def test_skips_that_must_run_fail_in_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(CASES)
    code, output = outcomes(tmp_path, MQTT_IDS_STRICT="1")
    assert code == 1
    assert "no broker here" in output
    assert "no runtime here" in output
    assert "MQTTSET_DIR names no folder" in output
    assert "1 skipped" in output, output
    assert "1 xfailed" in output, output


@pytest.mark.parametrize(("strict", "failed"), [("0", False), ("1", True)])
def test_a_file_that_skips_itself_whole(tmp_path: Path, strict: str, *, failed: bool) -> None:
    (tmp_path / "test_whole.py").write_text(WHOLE_FILE)
    (tmp_path / "test_fine.py").write_text("def test_fine(): pass\n")
    code, output = outcomes(tmp_path, MQTT_IDS_STRICT=strict)
    assert (code != 0) == failed, output


def test_captures_are_given_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "test_data.py").write_text(
        "def test_data(mqttset): assert mqttset.is_dir()\n",
    )
    code, output = outcomes(tmp_path, MQTT_IDS_STRICT="1", MQTTSET_DIR=str(tmp_path))
    assert code == 0, output
