"""The options that say on which ports of a capture MQTT is spoken."""

from typing import Final

import click

PORT: Final = click.IntRange(1, 65_535)

over_tcp = click.option(
    "--port",
    "ports",
    type=PORT,
    multiple=True,
    help="Of MQTT over TCP, instead of 1883. May be repeated.",
)
over_websocket = click.option(
    "--websocket-port",
    "websocket_ports",
    type=PORT,
    multiple=True,
    help="Of MQTT over WebSocket, instead of 8080, 8083 and 9001. May be repeated.",
)
