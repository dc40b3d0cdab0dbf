"""What several tests of the evaluation share."""

import pytest

from mqtt_ids.evaluating.taught import Lesson, Taught, study, teach


@pytest.fixture(scope="session")
def taught() -> Taught:
    """What rivals learn from an hour of two homes: too little to be any good."""
    watched = [Lesson(seed=1004, hours=0.6), Lesson(seed=5004, hours=0.6, calibrates=True)]
    return teach(map(study, watched))
