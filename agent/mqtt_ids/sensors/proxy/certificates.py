"""TLS towards clients: our certificate, and the authority that theirs must be from."""

import ssl
from pathlib import Path

from mqtt_ids.errors import SettingsError


def server_context(cert: Path, key: Path | None, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later; with `client_ca` who has no certificate of it is sent away.

    Raises SettingsError. Read once: a renewed certificate counts from the next start.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a function OpenSSL would ask on the terminal for a key's passphrase.
        context.load_cert_chain(cert, key, password=lambda: "")
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        named = ", ".join(str(each) for each in (cert, key, client_ca) if each is not None)
        why = getattr(error, "reason", None) or error.strerror if isinstance(error, OSError) else ""
        raise SettingsError(
            f"inline: {named}: expected PEM, with a key without passphrase: {why or error}"
        ) from None
    return context
