"""From scores to verdicts: calm, odd or attack. Deciding is kept apart from scoring.

A score is odd above its threshold (the paper's equation 3, with a threshold of any origin). It
is an attack when odd scores persist, or at once when one is far beyond the threshold: evidence
is the fading sum of how many times the score doubled the threshold. There are two such sums: a
quick one for what goes on for seconds, and a slow one for what comes back for minutes, such as one
guess a minute. Only a score that rises comes back: one that fades is what is left of something.
"""

import enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mqtt_ids.windows import Floats, Rows, grown

HALF_LIFE: Final = 10.0  # seconds in which evidence fades by half
MOST_PER_SCORE: Final = 4.0  # doublings that one score can add
ENOUGH: Final = 3.0  # doublings that make an attack
AT_ONCE: Final = 8.0  # times the threshold that make an attack by themselves
SLOW_HALF_LIFE: Final = 600.0  # seconds in which slow evidence fades by half
RISES: Final = 1.05  # times the score before, from which on a score adds slow evidence
SLOW_EVERY: Final = 8.0  # seconds between two scores that add slow evidence
LEAST_PER_SLOW: Final = 0.5  # doublings below which a score adds nothing to it
MOST_PER_SLOW: Final = 2.0  # doublings that one score can add to it
ENOUGH_SLOW: Final = 6.0  # doublings of slow evidence that make an attack

_FIRST_ROWS = 16


class Verdict(enum.IntEnum):
    """What is held of a subject."""

    CALM = 0
    ODD = 1
    ATTACK = 2


class Verdicts:
    """Evidence and verdict of every subject of one role, by row."""

    def __init__(self) -> None:
        self._evidence = np.zeros(_FIRST_ROWS)
        self._at = np.zeros(_FIRST_ROWS)
        self._slow = np.zeros(_FIRST_ROWS)
        self._slow_at = np.full(_FIRST_ROWS, -np.inf)
        self._began = np.zeros(_FIRST_ROWS)
        self._verdict = np.zeros(_FIRST_ROWS, np.int8)
        self._score = np.full(_FIRST_ROWS, np.nan)

    def start(self, row: int) -> None:
        """Make `row` a new subject of whom nothing is known."""
        for name in ("_evidence", "_at", "_slow", "_slow_at", "_began", "_verdict", "_score"):
            array = grown(getattr(self, name), row)
            array[row] = 0
            setattr(self, name, array)
        self._slow_at[row] = -np.inf
        self._score[row] = np.nan

    def judge(
        self,
        rows: Rows,
        scores: Floats,
        thresholds: NDArray[np.float64],
        fresh: NDArray[np.bool_],
        now: float,
    ) -> NDArray[np.int8]:
        """The verdict on each of `rows`, given its new score.

        Only `fresh` rows, which did something since, add evidence: counters that merely fade
        are no new sign.
        """
        ratio = scores / thresholds
        before = self._evidence[rows] * np.exp2((self._at[rows] - now) / HALF_LIFE)
        sign = np.clip(np.log2(np.maximum(ratio, 1e-9)), 0.0, MOST_PER_SCORE) * fresh
        evidence = before + sign
        odd = ratio > 1.0
        back = self._comes_back(rows, scores, sign, now)
        enough = (evidence >= ENOUGH) | back | (ratio >= AT_ONCE)
        attack = fresh & odd & enough
        verdict = np.where(attack, Verdict.ATTACK, np.where(odd, Verdict.ODD, Verdict.CALM))
        began = odd & (self._verdict[rows] == Verdict.CALM)
        self._began[rows] = np.where(began, now, self._began[rows])
        self._evidence[rows] = evidence
        self._at[rows] = now
        self._verdict[rows] = verdict
        self._score[rows] = scores
        return verdict.astype(np.int8)

    def _comes_back(
        self, rows: Rows, scores: Floats, sign: NDArray[np.float64], now: float
    ) -> NDArray[np.bool_]:
        """Against which of `rows` these new signs make enough slow evidence."""
        since = now - self._slow_at[rows]
        slow = self._slow[rows] * np.exp2(-since / SLOW_HALF_LIFE)
        rises = ~(scores < RISES * self._score[rows])  # the first score of all does
        adds = rises & (sign >= LEAST_PER_SLOW) & (since >= SLOW_EVERY)
        slow += np.where(adds, np.minimum(sign, MOST_PER_SLOW), 0.0)
        self._slow[rows] = np.where(adds, slow, self._slow[rows])
        self._slow_at[rows] = np.where(adds, now, self._slow_at[rows])
        enough: NDArray[np.bool_] = adds & (slow >= ENOUGH_SLOW)
        return enough

    def calm(self, rows: Rows, scores: Floats) -> None:
        """None of `rows` is odd. The same as `judge`, in a fraction of the time."""
        self._verdict[rows] = Verdict.CALM
        self._score[rows] = scores

    def verdict(self, row: int) -> Verdict:
        """The latest verdict on `row`; calm before the first."""
        return Verdict(int(self._verdict[row])) if row < len(self._verdict) else Verdict.CALM

    def score(self, row: int) -> float | None:
        """The latest score of `row`; None before the first."""
        if row >= len(self._score) or np.isnan(self._score[row]):
            return None
        return float(self._score[row])

    def began(self, row: int) -> float:
        """When `row` was last seen to turn from calm to odd, on the sensor's clock."""
        return float(self._began[row])
