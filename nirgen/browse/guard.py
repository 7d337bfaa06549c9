"""Guard of the App's server: who may ask, from which page, and for which files.

FiftyOne's server answers anyone, under any name, and `/media` serves every file that its user can read. A page in the
user's browser reaches it on the loopback, also by DNS rebinding. The guard is a pure ASGI middleware.
"""

from __future__ import annotations

import ipaddress
import mimetypes
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(address: str) -> bool:
    """Return True for addresses that other machines can't reach.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0"), is_loopback("10.0.0.7")
        (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Folders:
    """Folders whose files `/media` may serve.

    Args:
        at_start: Folders of the media of all datasets that there were at the start.
        loaded_later: Returns folders that nirgen has loaded since; it is asked for unknown ones.
    """

    def __init__(self, at_start: Collection[str], loaded_later: Callable[[], Collection[str]] = frozenset) -> None:
        self._known = set(at_start)
        self._loaded_later = loaded_later

    def serve(self, path: str) -> bool:
        """Return True for a file in one of the folders; a link may lead out of them to an image or a video only."""
        folder = os.path.dirname(path)  # noqa: PTH120
        if not path.startswith("/") or path != os.path.normpath(path) or "\0" in path:
            return False
        if folder not in self._known:
            self._known.update(self._loaded_later())
        if folder not in self._known:
            return False
        real = os.path.realpath(path)
        kind = mimetypes.guess_type(real)[0] or ""
        return os.path.dirname(real) in self._known or kind.startswith(("image/", "video/"))  # noqa: PTH120


@dataclass(frozen=True)
class Guard:
    """The App behind checks of name, origin, token and path.

    Attributes:
        app: FiftyOne's server.
        address: Where it listens.
        port: Where it listens.
        folders: Folders that `/media` may serve.
        token: Secret that a request must know, in the URL, a cookie or a bearer header; None on the loopback.
        home: Path and query of the page that the bare address leads to.
    """

    app: App
    address: str
    port: int
    folders: Folders
    token: str | None = None
    home: str = "/"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        refusal = self._refusal(scope, headers, query)
        if refusal is not None:
            await _answer(scope, send, *refusal)
        elif "token" in dict(query) and self.token and "text/html" in headers.get("accept", ""):
            kept = urlencode([(name, value) for name, value in query if name != "token"])
            place = scope.get("raw_path", scope["path"].encode()).decode("latin-1") + (f"?{kept}" if kept else "")
            cookie = f"{self._cookie}={self.token}; Path=/; HttpOnly; SameSite=Lax"
            # `//host` would lead to another server
            await _answer(scope, send, 303, "", location="/" + place.lstrip("/"), set_cookie=cookie)
        elif scope["path"] == "/" and self.home != "/" and scope["type"] == "http":
            await _answer(scope, send, 303, "", location=self.home, cache_control="no-store")
        else:
            await self.app(scope, receive, send)

    @property
    def _cookie(self) -> str:
        return f"nirgen-{self.port}"  # cookies don't distinguish ports

    def _refusal(self, scope: Message, headers: dict[str, str], query: list[tuple[str, str]]) -> tuple[int, str] | None:
        """Return status and text of a refused request."""
        host = headers.get("host", "")
        if self.token is None and _name_of(host) not in {*_LOOPBACK, self.address}:
            return 403, f"nirgen's App answers to localhost and {self.address} only, not to {host!r}\n"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"a page of {origin!r} may not use nirgen's App\n"
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "another site may not use nirgen's App\n"
        if self.token is not None and not self._knows(headers, query):
            return 401, "open the URL that 'nirgen browse' has printed: it holds a token\n"
        if scope["path"].rstrip("/") == "/media":
            paths = [value for name, value in query if name == "filepath"]
            if len(paths) > 1 or not all(map(self.folders.serve, paths)):
                return 403, "not in a folder of a dataset that was loaded; run 'nirgen browse' again if it is new\n"
        return None

    def _knows(self, headers: dict[str, str], query: list[tuple[str, str]]) -> bool:
        """Return True if a request has the token."""
        given = [value for name, value in query if name == "token"]
        given += [headers.get("authorization", "").removeprefix("Bearer ")]
        for cookie in headers.get("cookie", "").split(";"):
            name, _, value = cookie.strip().partition("=")
            given += [value] if name == self._cookie else []
        return any(secrets.compare_digest(value.encode(), str(self.token).encode()) for value in given)


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port.

    Example:
        >>> _name_of("localhost:5151"), _name_of("[::1]:5151"), _name_of("evil.example")
        ('localhost', '::1', 'evil.example')
    """
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _answer(scope: Message, send: Send, status: int, text: str, **headers: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    fields = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"} | headers
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": text.encode()})
