"""The errors that a person can meet, as one tree.

    IdsError                 anything that mqtt-ids raises on purpose
    ├── SettingsError        a key or value in the configuration is wrong
    ├── StateError           the state folder or a file in it cannot be used
    ├── StartError           the broker or the plugin cannot start as configured
    ├── ControlError         a running agent could not be reached or refused a command
    ├── CaptureError         a capture or event log cannot be read, or not to its end
    └── TrainingError        there is too little to learn from, or what was learned is no good

The model package has its own root, `mqtt_ids_model.ModelError`: it knows nothing of MQTT.
Each message is one line that says what is wrong and what would be right; the command line
prints it on standard error and exits with 2.
"""


class IdsError(Exception):
    """Root of all errors raised on purpose by mqtt-ids."""


class SettingsError(IdsError):
    """A configuration key is unknown or its value is not usable."""


class StateError(IdsError):
    """The state folder, or a file in it, cannot be read or written."""


class StartError(IdsError):
    """The broker or the plugin cannot start with what it was given."""


class ControlError(IdsError):
    """A running agent could not be reached, or refused what was asked."""


class BrokerError(IdsError):
    """The broker cannot be reached, or does not let us in."""


class CaptureError(IdsError):
    """A capture or an event log cannot be read, or not to its end."""


class TrainingError(IdsError):
    """There is too little to learn from, or what was learned is no good."""
