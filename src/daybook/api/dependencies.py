"""What handlers ask for."""

from typing import Annotated, cast

from fastapi import Depends, Request

from daybook.api.services import Services


def _services(request: Request) -> Services:
    return cast(Services, request.state.services)


ServicesDependency = Annotated[Services, Depends(_services)]
