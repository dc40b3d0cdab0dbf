"""How connections begin: the broker is called for one client, and a client's TLS is answered."""

import asyncio
import ssl

from mqtt_ids.sensors.proxy.greetings import Place, introduction
from mqtt_ids.sensors.proxy.options import Upstream


async def call(
    upstream: Upstream, end: asyncio.BufferedProtocol, source: Place, target: Place, within: float
) -> asyncio.Transport:
    """The broker's transport, with `end` as its protocol. Raises OSError, in time as well.

    `source` is the client, who has come to `target`.
    """
    loop, address = asyncio.get_running_loop(), upstream.address
    async with asyncio.timeout(within):
        far, _ = await loop.create_connection(lambda: end, address.host, address.port)
        header = introduction(upstream.proxy_protocol, source, target)
        if header:
            far.write(header)
        return far if upstream.tls is None else await _secured(far, end, upstream)


async def _secured(
    far: asyncio.Transport, end: asyncio.BufferedProtocol, upstream: Upstream
) -> asyncio.Transport:
    secured = None
    try:
        if upstream.tls is not None:
            secured = await asyncio.get_running_loop().start_tls(
                far, end, upstream.tls, server_hostname=upstream.name or upstream.address.host
            )
    finally:
        if secured is None:
            far.abort()
    if secured is None:
        raise ConnectionResetError("the connection was closed")
    return secured


async def answer_tls(
    plain: asyncio.Transport, context: ssl.SSLContext, within: float
) -> asyncio.Transport | None:
    """The client's transport once it has spoken TLS; None where it went. Raises OSError."""
    return await asyncio.get_running_loop().start_tls(
        plain, plain.get_protocol(), context, server_side=True, ssl_handshake_timeout=within
    )
