"""The dependencies of handlers."""

from typing import Annotated, cast

from fastapi import Depends, Request

from daybook.api.services import Services


async def _services(request: Request) -> Services:  # async, because a sync function takes a thread for each request
    return cast(Services, request.state.services)


ServicesDependency = Annotated[Services, Depends(_services)]
