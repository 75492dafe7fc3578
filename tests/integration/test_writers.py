"""Who may change something over HTTP while there are no keys."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from daybook.api.writers import LocalWriters

ANY = "http://127.0.0.1:8000"


async def reached(_: Request) -> PlainTextResponse:
    return PlainTextResponse("reached")


async def ask(address: str, *, method: str = "POST", allow_anonymous: bool = False, **headers: str) -> httpx.Response:
    app = LocalWriters(
        Starlette(routes=[Route("/", reached, methods=["GET", "POST", "PUT"])]), allow_anonymous=allow_anonymous
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address) as client:
        return await client.request(method, "/", headers=headers)


@pytest.mark.parametrize("address", [ANY, "http://localhost:1", "http://[::1]:8000", "http://127.9.9.9"])
async def test_a_loopback_address_takes_changes(address: str) -> None:
    # httpx names the server by the address's host, uvicorn by the socket's address
    answer = await ask(address.replace("localhost", "127.0.0.1"), Host=address.removeprefix("http://"))
    assert answer.text == "reached"


@pytest.mark.parametrize("address", ["http://192.0.2.1:8000", "http://[2001:db8::1]:8000"])
async def test_another_address_takes_none(address: str) -> None:
    answer = await ask(address)
    assert answer.status_code == 403
    assert "AllowAnonymous=true" in answer.json()["detail"]
    assert (await ask(address, method="PUT")).status_code == 403
    assert (await ask(address, method="GET")).text == "reached"
    assert (await ask(address, allow_anonymous=True)).text == "reached"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::1].evil:1"])
async def test_a_name_that_others_may_point_here_is_refused(host: str) -> None:
    """DNS rebinding."""
    assert (await ask(ANY, Host=host)).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "", "http://["])
@pytest.mark.parametrize("allow_anonymous", [False, True])
async def test_a_page_of_another_site_changes_nothing(origin: str, *, allow_anonymous: bool) -> None:
    answer = await ask(ANY, allow_anonymous=allow_anonymous, Origin=origin)
    assert answer.status_code == 403
    assert "page of another site" in answer.json()["detail"]


async def test_a_page_of_its_own_may() -> None:
    assert (await ask(ANY, Origin=ANY)).text == "reached"
