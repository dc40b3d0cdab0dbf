"""The one error that this package raises on purpose.

    ModelError      a model file or folder that must not be used, or that cannot be written

Its message is one line that says what is wrong. A caller who breaks a function's contract
(wrong shapes, NaN in a feature) meets a plain ValueError instead: that is a mistake in a program,
not something a person can put right.
"""


class ModelError(Exception):
    """A model must not be used: missing, damaged, too large, foreign or not as its card says."""
