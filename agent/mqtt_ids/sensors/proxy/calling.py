"""How the broker is called for one client: TCP, the PROXY protocol, TLS, WebSocket."""

import asyncio
from collections.abc import Callable

from mqtt_ids.peer import Peer
from mqtt_ids.sensors.proxy.budget import Budget
from mqtt_ids.sensors.proxy.far_end import FarEnd
from mqtt_ids.sensors.proxy.greetings import Place, introduction
from mqtt_ids.sensors.proxy.options import Upstream
from mqtt_ids.sensors.proxy.tls_layer import TlsLayer
from mqtt_ids.sensors.proxy.web_layer import WebLayer, client_protocol


class Caller:
    """Calls one broker, for any client."""

    def __init__(
        self,
        upstream: Upstream,
        within: float,
        buffer: memoryview,
        budget: Budget,
        failed: Callable[[Exception], None],
    ) -> None:
        """It must answer `within` seconds; the rest is as for a `WebLayer`."""
        self._upstream = upstream
        self._within = within
        self._buffer = buffer
        self._budget = budget
        self._failed = failed

    async def call(self, end: FarEnd, peer: Peer, client: asyncio.Transport) -> asyncio.Transport:
        """The broker's transport, with `end` as its protocol. Raises OSError, in time as well."""
        here: Place = (client.get_extra_info("sockname") or ("", 0))[:2]
        layers = self._layers(end)
        address, below = self._upstream.address, None
        try:
            async with asyncio.timeout(self._within):
                below, _ = await asyncio.get_running_loop().create_connection(
                    lambda: layers[0] if layers else end, address.host, address.port
                )
                form = self._upstream.proxy_protocol
                below.write(introduction(form, (peer.address, peer.port), here))
                for layer in layers:
                    await layer.greet()
        except BaseException as error:
            if below is not None:
                below.abort()
            if isinstance(error, ValueError):  # a host's name that cannot be one
                raise ConnectionRefusedError(str(error)) from None
            raise
        return layers[-1] if layers else below

    def _layers(self, end: FarEnd) -> list[TlsLayer | WebLayer]:
        """What stands between TCP and `end`, from below."""
        upstream, found = self._upstream, list[TlsLayer | WebLayer]()
        above: FarEnd | WebLayer = end
        if upstream.web is not None:
            encrypted = upstream.tls is not None
            protocol = client_protocol(str(upstream.address), upstream.web, encrypted=encrypted)
            web = WebLayer(protocol, end, self._buffer, self._budget, self._failed)
            found.append(web)
            above = web
        if upstream.tls is not None:
            name = upstream.name or upstream.address.host
            tls = TlsLayer(upstream.tls, above, self._buffer, self._budget, name=name)
            found.insert(0, tls)
        return found
