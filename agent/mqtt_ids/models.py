"""Which model is meant by a name: the shipped one, or a folder that somebody has trained.

numpy and the TFLite runtime are loaded only when a model is opened.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from mqtt_ids.detecting import Detecting
    from mqtt_ids.events import Sees
    from mqtt_ids.settings import Settings
    from mqtt_ids.views import Judged
    from mqtt_ids_model import Model

DEFAULT = "default"


class MakeDetector(Protocol):
    """Makes the detector for a sensor that sees so much. Raises ModelError, in one line."""

    def __call__(
        self, settings: Settings, sees: Sees, judged: Callable[[Judged], None] | None = None
    ) -> Detecting:
        """The detector that the settings ask for; `judged` gets each round's scores."""


def open_model(name: str) -> Model:
    """The model called `default`, or the one in the folder `name`, for the features of today.

    Raises the model package's ModelError, in one line, where it does not fit or is damaged.
    """
    from mqtt_ids.feature_table import CONTEXT, NAMES  # noqa: PLC0415
    from mqtt_ids_model import ModelError, load_model  # noqa: PLC0415

    if name != DEFAULT:
        return load_model(Path(name).expanduser(), NAMES, CONTEXT)
    shipped = resources.files("mqtt_ids_model") / DEFAULT
    if not isinstance(shipped, Path):
        raise ModelError("the shipped model lies in an archive; install the package unpacked")
    return load_model(shipped, NAMES, CONTEXT)


def open_detector(
    settings: Settings, sees: Sees, judged: Callable[[Judged], None] | None = None
) -> Detecting:
    """The detector that the settings ask for: see `MakeDetector`."""
    from mqtt_ids.detector import Detector  # noqa: PLC0415

    return Detector(
        open_model(settings.model),
        sees=sees,
        threshold=settings.threshold,
        max_clients=settings.limits.max_clients,
        judged=judged,
    )
