"""Decides who may change anything over HTTP while there are no keys."""

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PORT = re.compile(r":\d*$")
_NOT_HERE = (
    "nothing may be changed over HTTP from other machines: ask at a loopback address such as 127.0.0.1, or set "
    "AllowAnonymous=true if everybody who reaches this address may change the books"
)
_OTHER_NAME = "the request names this service by a name that is not its own: use 127.0.0.1 or localhost"
_OTHER_PAGE = "the request comes from a page of another site: nothing is changed"


class LocalWriters:
    """Answers 403 to requests that change something, unless they come to a loopback address.

    Pages of other sites may not change anything either, not even through the browser of somebody on this machine: the
    header `Origin` must be that of the service, and `Host` no name that others can point to a loopback address.
    With `allow_anonymous` only `Origin` is compared.
    """

    def __init__(self, app: ASGIApp, *, allow_anonymous: bool) -> None:
        self._app, self._allow_anonymous = app, allow_anonymous

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" and scope["method"] not in _READING else ""
        if refusal:
            await JSONResponse({"detail": refusal}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return _OTHER_PAGE
        if self._allow_anonymous:
            return ""
        server = scope.get("server")
        if server is None or not _is_loopback(server[0]):
            return _NOT_HERE
        name = _PORT.sub("", host).strip("[]")
        return "" if name == "localhost" or _is_loopback(name) else _OTHER_NAME


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
