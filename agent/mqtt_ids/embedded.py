"""The embedded broker: amqtt with the plugin, for who has no broker of their own.

It is open to everybody on this machine and to nobody else: any other address needs a password
file. The plugin is named only as the string that amqtt loads.
"""

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from amqtt.broker import Broker
from amqtt.errors import BrokerError, PluginError

from mqtt_ids.errors import IdsError, StartError
from mqtt_ids.readers import HostPort
from mqtt_ids_model import ModelError

log = logging.getLogger(__name__)

PLUGIN = "mqtt_ids_plugin.IDSPlugin"
BIND = HostPort("127.0.0.1", 1883)


def broker_config(
    bind: HostPort, settings: Mapping[str, object], password_file: Path | None
) -> dict[str, object]:
    """What amqtt is given. `settings` are the plugin's, as in its YAML.

    Raises StartError where everybody on the network would be admitted without a password.
    """
    if password_file is None and not _is_loopback(bind.host):
        raise StartError(
            f"{bind}: open to the network, but nobody needs a password; give --password-file (user"
            " name and hash a line), or stay on 127.0.0.1"
        )
    if password_file is None:
        authentication: dict[str, object] = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
        }
    else:
        _check_passwords(password_file)
        authentication = {
            "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(password_file)}
        }
    return {
        "listeners": {"default": {"type": "tcp", "bind": str(bind)}},
        "plugins": {PLUGIN: dict(settings), **authentication},
    }


def run(config: dict[str, object], bind: HostPort) -> None:
    """Run the broker until SIGINT or SIGTERM. Raises as `serve` does."""
    asyncio.run(serve(config, bind))


async def serve(config: dict[str, object], bind: HostPort) -> None:
    """Run the broker until SIGINT or SIGTERM, then shut it down cleanly.

    Raises StartError, or what the plugin refuses to start with, before anybody is served.
    """
    _check_free(bind)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    broker = await started(config)
    log.info("listening on %s", bind)
    try:
        await stop.wait()
    finally:
        log.info("stopping")
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)  # a second signal ends us at once
        await stopped(broker)


async def started(config: dict[str, object]) -> Broker:
    """A broker that serves. Raises StartError, or the plugin's own error, in one line."""
    logging.getLogger("amqtt.broker").addFilter(_is_news)
    try:
        broker = Broker(config)
    except (BrokerError, PluginError) as error:
        raise _plain(error) from None
    try:
        await broker.start()
    except BrokerError as error:
        await broker.plugins_manager.close()
        raise _plain(error) from None
    return broker


async def stopped(broker: Broker, patience: float = 10.0) -> None:
    """Shut a broker down. One with connections that never end is left behind, and said so."""
    try:
        async with asyncio.timeout(patience):
            await broker.shutdown()
    except TimeoutError:
        log.warning("the broker did not stop within %g s; leaving", patience)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is more than amqtt's traceback of the error that we tell in one line."""
    return record.msg != "Broker startup failed"


def _plain(error: BaseException) -> Exception:
    """What is behind amqtt's error: the plugin's own error if there is one, else in one line."""
    root = error
    while True:
        if isinstance(root, (IdsError, ModelError)):
            return root
        below = root.__cause__ or root.__context__
        if below is None:
            break
        root = below
    text = " ".join(str(root).split()) or type(root).__name__
    return StartError(f"the broker cannot start: {text}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_free(bind: HostPort) -> None:
    """Raises StartError where nobody could listen there: amqtt itself would only log it."""
    try:
        found = socket.getaddrinfo(
            bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found:
            socket.create_server(address[:2], family=family).close()
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        why = "the port is in use by another program" if in_use else error.strerror
        hint = "; stop that one, or choose another with --bind" if in_use else ""
        raise StartError(f"cannot listen on {bind}: {why}{hint}") from None


def _check_passwords(file: Path) -> None:
    """Raises StartError for what amqtt would ignore, or log together with somebody's password."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StartError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartError(f"{file}: is not UTF-8 text") from None
    users = [(number, line) for number, line in enumerate(lines, 1) if _names_a_user(line)]
    for number, line in users:
        name, _, hashed = line.partition(":")
        if not name or not hashed.startswith(("$argon2", "$6$")):
            raise StartError(f"{file}: line {number}: expected USER:HASH with an Argon2 hash")
    if not users:
        raise StartError(f"{file}: names no user")


def _names_a_user(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
