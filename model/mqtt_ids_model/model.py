"""A model ready for use: its card, its scorer and, where they are kept, its float weights."""

from dataclasses import dataclass

import numpy as np

from mqtt_ids_model.arrays import Flags, Floats
from mqtt_ids_model.autoencoder import Autoencoder
from mqtt_ids_model.card import Card
from mqtt_ids_model.errors import ModelError
from mqtt_ids_model.score import Scores, network_inputs, reconstruction_error
from mqtt_ids_model.scorer import Scorer


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Vectors in, scores out. `net` is what fine-tuning starts from; None where not kept."""

    card: Card
    scorer: Scorer
    net: Autoencoder | None

    def score(self, x: Floats, seen: Flags, context: Floats) -> Scores:
        """Score vectors x (n, F), unclipped, of which `seen` (n, F); context (n, C).

        The values of what is not seen do not matter. Raises ValueError as
        `reconstruction_error` does, and where shapes do not fit.
        """
        rows = network_inputs(x, seen, context)
        reconstruction = self.scorer.reconstruct(rows)
        score, errors = reconstruction_error(x, reconstruction, seen)
        return Scores(score, errors, reconstruction)

    def check_golden(self) -> None:
        """Raises ModelError where this runtime does not reproduce the card's golden scores."""
        golden = self.card.golden
        wanted = np.array(golden.scores)
        try:
            found = self.score(*golden.arrays()).score
        except ValueError as error:  # weights so large that a reconstruction is not a number
            raise ModelError(f"golden vectors cannot be scored: {error}") from error
        off = np.abs(found - wanted) / np.maximum(wanted, 1.0)
        worst = int(off.argmax())
        if not off[worst] <= golden.tolerance:
            raise ModelError(
                f"golden vector {worst} scores {found[worst]:.6g} with {self.scorer.runtime}; "
                f"its card says {wanted[worst]:.6g}"
            )
