"""Why there is no connection to the broker, in words for people; never with a password."""

import socket
import ssl

from paho.mqtt.client import WebsocketConnectionError

from mqtt_ids.errors import SettingsError
from mqtt_ids.uplink.access import Access, PasswordUnreadable

__all__ = ["CREDENTIALS", "refused", "tls_reason", "why"]

# CONNACK's reasons, by their MQTT 5 names, that another password may mend.
CREDENTIALS = frozenset({"Bad user name or password", "Not authorized", "Banned"})


def refused(access: Access, reason: str) -> str:
    """What the broker has against us."""
    if access.username is None:
        return "the broker refuses clients without a user: put one into the URL"
    return f"the broker refuses the user {access.username} or its password ({reason})"


def why(access: Access, error: Exception) -> str:
    """What went wrong before the broker heard of us."""
    where = access.address
    match error:
        case SettingsError() | PasswordUnreadable():
            text = str(error)
        case socket.gaierror() | UnicodeError():
            reason = error.strerror if isinstance(error, OSError) else "no valid name"
            text = f"the name {where.host} is not known: {reason}"
        case ssl.SSLCertVerificationError():
            text = f"the certificate of {where} is not trusted: {error.verify_message}"
        case ssl.SSLError():
            text = f"TLS with {where} fails: {tls_reason(error.reason or str(error))}"
        case WebsocketConnectionError():
            text = f"{where} speaks no MQTT over WebSocket at {access.path}"
        case TimeoutError():
            text = f"{where} does not answer"
        case ConnectionRefusedError():
            text = f"{where} refuses connections; does the broker run?"
        case ConnectionError() if access.encrypted:
            text = f"{where} breaks off the TLS handshake; does it speak TLS there?"
        case OSError():
            text = f"{where} cannot be reached: {error.strerror or type(error).__name__}"
        case _:
            text = f"{where} cannot be reached: {type(error).__name__}"
    return text


def tls_reason(text: str) -> str:
    """OpenSSL's reason in plain letters: wrong version number."""
    inner = text.partition("[")[2].partition("]")[0] or text
    return inner.removeprefix("SSL: ").lower().replace("_", " ")
