"""A small classifier that names attacks from the very vectors that the rules name.

It is the paper's future work ("identify specific intrusions"), fitted anew for each evaluation;
it is never shipped unless it names better than the rules. Where it is not sure it says `unusual`.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.feature_table import NAMES
from mqtt_ids.windows import Floats
from mqtt_ids_model import MASKED

CONFIDENT: Final = 0.5  # probability below which a name is a guess
UNNAMED: Final = "unusual"
FOLDS: Final = 4
NAMES_NEEDED: Final = 2  # to learn from
_SEED: Final = 1
_TOLD: Final = 4  # inputs named in an explanation

Names = NDArray[np.str_]
Whole = NDArray[np.intp]
Doubles = NDArray[np.float64]


def inputs(x: Floats, seen: NDArray[np.bool_], errors: Floats, clients: Sequence[int]) -> Floats:
    """What is classified: n rows of features, their errors, and how many clients take part.

    `x` (n, F) is unclipped; what is not `seen` (n, F) is the network's own word for that.
    `errors` (n, F) are squared, 0 where masked; both they and the clients are taken as log1p.
    """
    features = np.where(seen, x, MASKED)
    spread = np.log1p(np.array(clients, np.float32))[:, None]
    rows: Floats = np.concatenate([features, np.log1p(errors), spread], axis=1, dtype=np.float32)
    return rows


class Classifier:
    """One kind of classifier, fitted to rows of `inputs`."""

    def __init__(self, kind: str) -> None:
        """`kind` is one of KINDS."""
        self.kind = kind
        from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - only the extra brings it
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

        self._model: Any = make_pipeline(StandardScaler(), _MAKERS[kind]())

    def fit(self, rows: Floats, names: Names, trials: Whole) -> None:
        """Learn. Each name counts the same, and each of its trials, however many rows it has.

        Raises ValueError where there are fewer than two names.
        """
        last = self._model.steps[-1][0]
        self._model.fit(rows, names, **{f"{last}__sample_weight": _weights(names, trials)})

    def names(self, rows: Floats) -> list[str]:
        """A name for each row (n,); UNNAMED where none is as likely as CONFIDENT."""
        if not len(rows):
            return []
        likely = self._model.predict_proba(rows)
        best = self._model.classes_[likely.argmax(axis=1)]
        return [str(one) for one in np.where(likely.max(axis=1) >= CONFIDENT, best, UNNAMED)]

    def explained(self) -> str:
        """How it explains itself, in a sentence."""
        weights = self._importances()
        worst = np.argsort(weights)[::-1][:_TOLD]
        told = ", ".join(f"{_called(int(place))} ({weights[place]:.0%})" for place in worst)
        return (
            f"A {self.kind} over {len(weights)} inputs; a single name comes of many splits or "
            f"weights and cannot be followed by hand. What counts most over all names: {told}."
        )

    def _importances(self) -> Doubles:
        last = self._model[-1]
        linear = hasattr(last, "coef_")
        weights = np.abs(last.coef_).sum(axis=0) if linear else last.feature_importances_
        shared: Doubles = weights / max(float(weights.sum()), 1e-12)
        return shared


def best(rows: Floats, names: Names, trials: Whole) -> Classifier:
    """The kind that names most vectors of trials it was not fitted to, fitted to all of them.

    Arrays run in parallel: rows (n, inputs), names (n,) and the number of each row's trial (n,).
    Raises ValueError where there are fewer than FOLDS trials or two names.
    """
    marks = {kind: _mark(kind, rows, names, trials) for kind in KINDS}
    chosen = Classifier(max(marks, key=lambda kind: marks[kind]))
    chosen.fit(rows, names, trials)
    return chosen


def _mark(kind: str, rows: Floats, names: Names, trials: Whole) -> float:
    """Right less wrong names of held-back trials, each name and trial counting the same, -1..1."""
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 - only the extra brings it

    weights = _weights(names, trials)
    found = np.zeros(len(names))
    for taught, asked in GroupKFold(FOLDS).split(rows, names, trials):
        if len(set(names[taught].tolist())) < NAMES_NEEDED:
            continue  # nothing to tell apart: no kind is better
        classifier = Classifier(kind)
        classifier.fit(rows[taught], names[taught], trials[taught])
        given = np.array(classifier.names(rows[asked]))
        right = given == names[asked]
        found[asked] = np.where(right, 1.0, np.where(given == UNNAMED, 0.0, -1.0))
    return float((found * weights).sum() / weights.sum())


def _weights(names: Names, trials: Whole) -> Doubles:
    """What a row counts (n,), so that all names weigh the same, and all trials of a name."""
    per_trial: Doubles = 1.0 / _counts(trials)
    _, places = np.unique(names, return_inverse=True)
    weights: Doubles = per_trial / np.bincount(places, per_trial)[places]
    return weights


def _counts(values: NDArray[Any]) -> Whole:
    """How often each value is there (n,), in place of it."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Whole = counts[places]
    return found


def _called(place: int) -> str:
    """What an input is, for people."""
    if place < len(NAMES):
        return NAMES[place]
    return f"error of {NAMES[place - len(NAMES)]}" if place < 2 * len(NAMES) else "clients"


def _forest() -> Any:  # noqa: ANN401 - as all of sklearn, it has no types
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    return RandomForestClassifier(60, max_depth=12, min_samples_leaf=2, random_state=_SEED)


def _tree() -> Any:  # noqa: ANN401
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415

    return DecisionTreeClassifier(max_depth=8, min_samples_leaf=4, random_state=_SEED)


def _regression() -> Any:  # noqa: ANN401
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    return LogisticRegression(max_iter=300)


_MAKERS: Final = {
    "random forest": _forest,
    "decision tree": _tree,
    "logistic regression": _regression,
}
KINDS: Final = tuple(_MAKERS)
