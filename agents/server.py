"""The server of the Model Context Protocol: tools over stdio, or over streamable HTTP with a key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agents import tools
from agents.api import Api, Refused, Transport
from agents.tools import Picture

PATH = "/mcp"
INSTRUCTIONS = (
    "Mirada is a library of pictures. Search by words, look at what was found, and say which picture you "
    f"mean by its url. {tools.UNTRUSTED} At most {tools.MOST_PICTURES} pictures a call."
)
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
MAKES = WRITES.model_copy(update={"idempotent_hint": False})
DELETES = WRITES.model_copy(update={"destructive_hint": True})
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Way:
    """A way to Mirada.

    Attributes:
        transport: leads to the server.
        address: of the server, for addresses in results.
        key: the key of a process that one person started; None over HTTP, where each request has one.
    """

    transport: Transport
    address: str
    key: str | None = None

    def api(self, context: Context) -> Api:
        """Return the API for whoever calls a tool."""
        key = self.key if context.headers is None else _bearer(context.headers.get("authorization"))
        return Api(self.transport, key, self.address)


def make_server(way: Way, *, may_write: bool = False) -> MCPServer:
    """Return the server with its tools; those that write are there only where that is switched on."""
    server: MCPServer = MCPServer("mirada", title="Mirada", instructions=INSTRUCTIONS)
    _add_reading(server, way)
    if may_write:
        _add_writing(server, way)
        _add_packing(server, way)
    return server


def _add_reading(server: MCPServer, way: Way) -> None:
    @server.tool(annotations=READS, structured_output=False)
    async def search(
        text: str, context: Context, count: int = tools.MOST_PICTURES
    ) -> dict[str, Any]:
        """Find pictures by words, best first. `relevance` says how sure each is; count is 1 to 8."""
        return await _done(partial(tools.search, way.api(context), text, count))

    @server.tool(annotations=READS, structured_output=False)
    async def look(image_ids: list[int], context: Context) -> list[Any]:
        """Look at 1 to 8 pictures: what is known of each, and a small copy to see."""
        told, pictures = await _done(partial(tools.look, way.api(context), image_ids))
        return [told, *map(_shown, pictures)]

    @server.tool(annotations=READS, structured_output=False)
    async def explain(
        text: str, context: Context, count: int = tools.MOST_PICTURES
    ) -> dict[str, Any]:
        """Say why a search by words finds what it finds: cosines, relevance, and how it was searched."""
        return await _done(partial(tools.explain, way.api(context), text, count))

    @server.tool(annotations=READS, structured_output=False)
    async def classify(image_id: int, context: Context) -> dict[str, Any]:
        """Say what a picture shows: the labels, with scores that people's corrections have moved."""
        return await _done(partial(tools.classify, way.api(context), image_id))

    @server.tool(annotations=READS, structured_output=False)
    async def duplicates(image_id: int, context: Context) -> dict[str, Any]:
        """List the pictures that are the same as one: the same file, or the same picture in other bytes."""
        return await _done(partial(tools.duplicates, way.api(context), image_id))


def _add_writing(server: MCPServer, way: Way) -> None:
    @server.tool(annotations=WRITES, structured_output=False)
    async def tag(
        image_ids: list[int],
        context: Context,
        add: list[str] | None = None,
        remove: list[str] | None = None,
    ) -> dict[str, Any]:
        """Put tags on 1 to 8 of your own pictures, or take them off. The reply says how to undo it."""
        work = partial(tools.tag, way.api(context), image_ids, add or [], remove or [])
        return await _done(work)

    @server.tool(annotations=WRITES, structured_output=False)
    async def set_tags(image_id: int, tags: list[str], context: Context) -> dict[str, Any]:
        """Give one of your own pictures exactly these tags. The reply says how to undo it."""
        return await _done(partial(tools.set_tags, way.api(context), image_id, tags))


def _add_packing(server: MCPServer, way: Way) -> None:
    @server.tool(annotations=MAKES, structured_output=False)
    async def make_pack(
        title: str,
        image_ids: list[int],
        context: Context,
        emojis: dict[str, list[str]] | None = None,
    ) -> dict[str, Any]:
        """Make a private pack of 1 to 100 pictures, in this order; emojis by image id, three at most.

        The reply says how to undo it.
        """
        work = partial(tools.make_pack, way.api(context), title, image_ids, emojis or {})
        return await _done(work)

    @server.tool(annotations=DELETES, structured_output=False)
    async def delete_pack(pack_id: int, context: Context) -> dict[str, Any]:
        """Delete one of your own packs; its pictures stay. The reply has what makes it again."""
        return await _done(partial(tools.delete_pack, way.api(context), pack_id))


async def _done(work: Callable[[], Found]) -> Found:
    """Return what a tool does, off the loop; a refusal is told to the agent in its own sentence."""
    try:
        return await anyio.to_thread.run_sync(work)
    except Refused as error:
        raise ToolError(str(error)) from error


def _shown(picture: Picture) -> Image:
    return Image(data=picture.content, format=picture.media_type.removeprefix("image/"))


def _bearer(header: str | None) -> str | None:
    kind, _, key = (header or "").partition(" ")
    return key.strip() or None if kind.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class KeysAlone:
    """An application that hears nobody without a key; what a key may do is asked at each call."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            sent = {name.decode("latin-1"): value for name, value in scope["headers"]}
            if _bearer(sent.get("authorization", b"").decode("latin-1")) is None:
                detail = "Send your API key of Mirada as 'Authorization: Bearer KEY'."
                refusal = JSONResponse(
                    {"detail": detail}, 401, headers={"WWW-Authenticate": 'Bearer realm="Mirada"'}
                )
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def make_app(server: MCPServer, names: list[str]) -> ASGIApp:
    """Return the server as an application over HTTP, without sessions.

    Args:
        server: with its tools.
        names: the only values of Host that are served, each with any port; the same of Origin, where
            one is sent. A page of another site, or a name that is made to lead here, is refused.
    """
    security = TransportSecuritySettings(
        allowed_hosts=[each for name in names for each in (name, f"{name}:*")],
        allowed_origins=[
            each
            for name in names
            for scheme in ("http", "https")
            for each in (f"{scheme}://{name}", f"{scheme}://{name}:*")
        ],
    )
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        transport_security=security,
    )
    return KeysAlone(app)
