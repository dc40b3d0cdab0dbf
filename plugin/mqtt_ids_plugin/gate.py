"""The gate: what happens to a connection before, and while, the broker has it.

    accepted ─► banned address? ─► CONNECT, whole, in time ─► may it come in? ─► the broker
                     │                      │                       │
                  closed           closed, Malformed            CONNACK, closed

Nothing reaches the broker that it would mishandle: half-open connections take up none of its
slots, a will or id that must not be never gets in, and who claims another's client id must prove
it before the broker lets go of the other.
"""

import asyncio
import contextvars
import logging
import secrets
from typing import Final

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.session import Session

from mqtt_ids.names import bounded, canonical
from mqtt_ids.packets import MQTT_311, ConnectPacket
from mqtt_ids.peer import ACCEPTED
from mqtt_ids.sensors.observer import Observer
from mqtt_ids_plugin.broker_access import Access, Admit, open_source, transport_of
from mqtt_ids_plugin.connection import Connection
from mqtt_ids_plugin.pressure import Pressure
from mqtt_ids_plugin.table import Link, Table
from mqtt_ids_plugin.tap import TappedReader, TappedWriter

log = logging.getLogger(__name__)

CONNECT_WITHIN: Final = 30.0  # seconds from the opening, however the bytes drip in
TAKEOVER_WITHIN: Final = 10.0  # seconds for the old connection to end, and for earlier claims

BAD_VERSION: Final = 1
UNAVAILABLE: Final = 3
NOT_AUTHORISED: Final = 5

# Which connection the broker is busy with. Tasks inherit it, so `authenticate` sees it.
current: contextvars.ContextVar[Connection | None] = contextvars.ContextVar("current", default=None)


class Gate:
    """Decides about each new connection, and hands the broker a tapped one."""

    def __init__(
        self,
        access: Access,
        observer: Observer,
        table: Table,
        connect_within: float = CONNECT_WITHIN,
    ) -> None:
        self.kept_out = 0  # connections from banned addresses, which are not told of
        self._access = access
        self._observer = observer
        self._table = table
        self._connect_within = connect_within
        self._pressure = Pressure(lambda: access.backlog, access.clear_done)
        table.pressed = lambda: self._pressure.lasting
        self._key = secrets.token_bytes(32)
        self._claims: dict[str, Link] = {}  # whose CONNECT is not answered yet

    def wrap(self, admit: Admit) -> Admit:
        """What the listeners call instead of `admit`."""

        async def admitted(name: str, reader: ReaderAdapter, writer: WriterAdapter) -> None:
            peer = writer.get_peer_info()
            if peer is None:  # gone already
                await admit(name, reader, writer)
                return
            address = canonical(peer[0].partition("%")[0])
            if self._observer.barred(address=address) is not None:
                self.kept_out += 1
                _abort(writer)
                return
            link = self._open((address, peer[1]), reader, writer)
            current.set(link.connection)
            try:
                if await self._lets_in(link):
                    await admit(name, link.reader, link.writer)
            finally:
                await self._close(link)

        return admitted

    def _open(self, peer: tuple[str, int], reader: ReaderAdapter, writer: WriterAdapter) -> Link:
        connection = self._table.open(peer)

        def answered(code: int) -> None:
            self._answered(link, code)

        link = Link(
            connection,
            TappedReader(open_source(reader), connection, self._pressure),
            TappedWriter(writer, connection, answered),
        )
        self._table.add(link)
        return link

    async def _lets_in(self, link: Link) -> bool:
        """Whether the broker may have it. Its CONNECT lies ready then."""
        connect = await self._greet(link)
        if connect is None:
            return False
        code = await self._verdict(link, connect)
        if code == ACCEPTED:
            return not link.connection.closed
        link.writer.write(bytes((0x20, 2, 0, code)))
        await link.writer.close()
        return False

    async def _greet(self, link: Link) -> ConnectPacket | None:
        """The CONNECT, or None where it is broken, or does not come in time."""
        connection = link.connection
        connect = None
        try:
            async with asyncio.timeout(self._connect_within):
                connect = await link.reader.hello()
        except TimeoutError:
            link.reader.truncated()
            connection.end("ids", self._table.clock())
            link.writer.abort()
        if connect is not None:
            connection.claim(connect, self._key)
            self._table.greeted(link)
        return connect

    async def _verdict(self, link: Link, connect: ConnectPacket) -> int:
        """The CONNACK code that this CONNECT deserves, as far as the gate can tell."""
        if connect.version != MQTT_311:
            return BAD_VERSION
        banned = self._observer.barred(
            client_id=connect.client_id or None, username=connect.username
        )
        if banned is not None:
            return NOT_AUTHORISED
        will = connect.will_topic
        if will is not None and self._table.reserved(will):
            return NOT_AUTHORISED  # the broker would deliver it, retained too
        return await self._prove(link, connect) if connect.client_id else ACCEPTED

    async def _prove(self, link: Link, connect: ConnectPacket) -> int:
        """Whose id it is. Claims of one id are dealt with one after the other.

        The broker would drop the owner of an id, or its stored session, before it asks whether
        the newcomer may have it.
        """
        try:
            async with asyncio.timeout(TAKEOVER_WITHIN):
                await self._claim(link, connect.client_id)
        except TimeoutError:
            return UNAVAILABLE
        if not self._access.has_session(connect.client_id):
            return ACCEPTED
        if not await self._authenticates(link, connect):
            return NOT_AUTHORISED
        old = self._table.client(bounded(connect.client_id))
        if old is None:
            return ACCEPTED
        self._table.replace(old)
        try:
            async with asyncio.timeout(TAKEOVER_WITHIN):
                await old.done.wait()
        except TimeoutError:
            return UNAVAILABLE
        finally:
            link.replaced = old.connection
        return ACCEPTED

    async def _claim(self, link: Link, client_id: str) -> None:
        while (earlier := self._claims.get(client_id)) is not None:
            await earlier.settled.wait()
        self._claims[client_id] = link
        link.claim = client_id

    async def _authenticates(self, link: Link, connect: ConnectPacket) -> bool:
        """Ask the authentication plugins, with a session that the broker never sees."""
        session = Session()
        session.client_id = connect.client_id
        session.clean_session = connect.clean_session
        session.username = connect.username
        session.password = _text(connect.password)
        session.remote_address = link.connection.address
        session.remote_port = link.connection.port
        session.keep_alive = connect.keep_alive
        session.will_topic = connect.will_topic
        session.ssl_object = link.writer.get_ssl_info()
        try:
            return await self._access.authenticates(session)
        except Exception:
            log.exception("an authentication plugin failed: %s is refused", link.connection.address)
            return False

    def _answered(self, link: Link, code: int) -> None:
        """A CONNACK is about to be written."""
        connection, connect = link.connection, link.connection.connect
        if connect is None:
            return
        now = self._table.clock()
        session = connection.session
        claimed = connect.client_id or (None if session is None else session.client_id)
        in_force = None if claimed is None else bounded(claimed)
        connection.answered(code, now, in_force)
        if code == ACCEPTED and in_force is not None:
            self._table.accepted(link, in_force)
        self._settle(link)

    def _settle(self, link: Link) -> None:
        """Its claim is answered, or given up: the next may be heard."""
        if link.claim is not None:
            del self._claims[link.claim]
            link.claim = None
            link.settled.set()
        if link.replaced is not None:
            link.replaced.release(self._table.clock())
            link.replaced = None

    async def _close(self, link: Link) -> None:
        connection = link.connection
        refused = connection.client_id is None and connection.session is not None
        if refused and connection.session is not None and connection.session.client_id:
            self._access.drop_session_of(connection.session.client_id, link.writer)
        self._settle(link)
        try:
            await link.writer.close()
        finally:
            self._table.remove(link)


def _text(password: bytes | None) -> str | None:
    """A password as the broker would show it to an authentication plugin."""
    if password is None:
        return None
    try:
        return password.decode()
    except UnicodeDecodeError:
        return str(password)


def _abort(writer: WriterAdapter) -> None:
    transport = transport_of(writer)
    if transport is not None:
        transport.abort()
