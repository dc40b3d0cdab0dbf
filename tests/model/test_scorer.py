import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mqtt_ids_model import Autoencoder, ModelError, open_scorer, runtimes, to_float, to_int8
from mqtt_ids_model.scorer import BATCHES, NUMPY, RUNTIMES

NET = Autoencoder.fresh(9, 7, seed=1)
ROWS = np.random.default_rng(2).random((1100, 9), dtype=np.float32)
INT8 = to_int8(NET, ROWS)


def test_the_runtime_of_this_environment_is_found_first(runtime: str) -> None:
    assert open_scorer(INT8).runtime == runtime


@pytest.mark.parametrize("file", [INT8, to_float(NET)], ids=["int8", "float"])
def test_every_size_of_batch_gives_the_same_rows(file: bytes, runtime: str) -> None:
    scorer = open_scorer(file, runtime)
    whole = scorer.reconstruct(ROWS)
    edges = {1, 2, 7, 600}
    edges |= {near for size in BATCHES for near in (size - 1, size, size + 1)}
    edges |= {near for least in BATCHES.values() for near in (least, least + 1)}
    for count in sorted(edges - {0}):
        part = scorer.reconstruct(ROWS[5 : 5 + count])
        np.testing.assert_allclose(part, whole[5 : 5 + count], atol=0 if file is INT8 else 1e-6)


@pytest.mark.parametrize("name", ["runtime", NUMPY])
def test_no_rows_give_no_rows(name: str, runtime: str) -> None:
    out = open_scorer(INT8, runtime if name == "runtime" else NUMPY).reconstruct(ROWS[:0])
    assert out.shape == (0, 7)


def test_results_are_arrays_of_their_own(runtime: str) -> None:
    for name in (runtime, NUMPY):
        scorer = open_scorer(INT8, name)
        for count in (1, 8, 20):
            first = scorer.reconstruct(ROWS[:count])
            kept = first.copy()
            scorer.reconstruct(ROWS[50 : 50 + count])
            assert np.array_equal(first, kept)


def test_rows_of_any_layout_and_float_are_taken_and_left_alone(runtime: str) -> None:
    for name in (runtime, NUMPY):
        scorer = open_scorer(INT8, name)
        wanted = scorer.reconstruct(ROWS[:40])
        by_column = np.asfortranarray(ROWS[:40])
        doubles = ROWS[:40].astype(np.float64)
        kept = doubles.copy()
        assert np.array_equal(scorer.reconstruct(by_column), wanted)
        assert np.array_equal(scorer.reconstruct(doubles), wanted)  # type: ignore[arg-type]
        assert np.array_equal(doubles, kept)


@pytest.mark.parametrize("shape", [(3, 8), (3, 10), (9,), (1, 3, 9)])
def test_rows_of_another_width_are_refused(shape: tuple[int, ...], runtime: str) -> None:
    for name in (runtime, NUMPY):
        with pytest.raises(ValueError, match=r"\(n, 9\) is needed"):
            open_scorer(INT8, name).reconstruct(np.zeros(shape, np.float32))


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(ModelError, match="'torch' is unknown; use one of ai-edge-litert, "):
        open_scorer(INT8, "torch")


def test_a_runtime_that_is_not_here_is_refused_when_asked_for(runtime: str) -> None:
    (missing,) = {*RUNTIMES} - {runtime, NUMPY}
    with pytest.raises(ModelError, match=f"runtime not usable: {missing}"):
        open_scorer(INT8, missing)


def test_numpy_scores_where_no_runtime_can_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in runtimes._MODULES:
        monkeypatch.setitem(runtimes._MODULES, name, "no_such_module")
    scorer = open_scorer(INT8)
    assert scorer.runtime == NUMPY
    assert scorer.reconstruct(ROWS[:3]).shape == (3, 7)


def test_a_runtime_that_cannot_run_the_model_is_passed_over(runtime: str) -> None:
    with pytest.raises(runtimes.RuntimeMissingError, match="cannot run the model"):
        runtimes.FixedBatch(runtimes.load(runtime), b"no model" * 10, 1, 9)


SCORE_QUIETLY = """
import sys
from pathlib import Path
import numpy as np
from mqtt_ids_model import open_scorer
scorer = open_scorer(Path(sys.argv[1]).read_bytes(), sys.argv[2])
for count in (1, 8, 32, 256):
    scorer.reconstruct(np.zeros((count, 9), np.float32))
"""


@pytest.mark.parametrize("file", [INT8, to_float(NET)], ids=["int8", "float"])
def test_nothing_is_written_to_the_terminal(file: bytes, tmp_path: Path, runtime: str) -> None:
    (tmp_path / "model.tflite").write_bytes(file)
    run = subprocess.run(
        [sys.executable, "-c", SCORE_QUIETLY, str(tmp_path / "model.tflite"), runtime],
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert (run.stdout, run.stderr) == (b"", b"")
