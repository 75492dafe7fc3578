"""The service in this process: HTTP, workers, signals, and the two shutdown timeouts."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import structlog
import uvicorn

from daybook.api.app import create_app
from daybook.api.http_protocol import BoundedHttpProtocol
from daybook.cli.exits import Exit
from daybook.errors import ConfigurationError
from daybook.lifespan import running_service
from daybook.runtime.stop import StopToken
from daybook.runtime.supervisor import Supervisor
from daybook.settings import Settings

log = structlog.get_logger("daybook")

_FORCE_SHARE = 0.9
"""Share of ForceShutDownTimeout after which the process is killed, so that it is gone when the time is over."""
_OPEN_ADDRESS = (
    "HttpHost={host}: whoever reaches port {port} reads all totals and all rejected rows{writes}; "
    "put a proxy with authentication in front of it, or set HttpHost=127.0.0.1"
)
_HTTP_SHARE_OF_GRACE = 0.5
"""Share of GracefulShutDownTimeout that open connections get; the workers stop at the same time."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`, which also stops the workers and then exits with 0."""
        yield


async def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT. The queues are kept.

    Raises ConfigurationError when the service must not start or must not go on. Ends the process with
    code 3 when it has not stopped within GracefulShutDownTimeout + ForceShutDownTimeout.
    """
    stop = StopToken()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    ending = asyncio.create_task(_end_in_time(stop, settings))
    supervisor = Supervisor(stop)
    with _listening_socket(settings) as listener:
        async with running_service(settings, supervisor) as services:
            config = uvicorn.Config(
                create_app(services, allow_anonymous=settings.allow_anonymous),
                http=BoundedHttpProtocol,
                log_config=None,
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=settings.graceful_shutdown_seconds * _HTTP_SHARE_OF_GRACE,  # type: ignore[arg-type]
            )
            server = _Server(config)
            stopping = asyncio.create_task(_stop_server(stop, server))
            host, port = listener.getsockname()[:2]
            if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                writes = " and may change the books (AllowAnonymous)" if settings.allow_anonymous else ""
                log.warning(_OPEN_ADDRESS.format(host=settings.http_host, port=port, writes=writes))
            log.info("Daybook is running; stop it with Ctrl-C", address=f"http://{host}:{port}")
            await server.serve(sockets=[listener])
            stop.set()
            await asyncio.gather(stopping, ending)
    if supervisor.fatal is not None:
        raise supervisor.fatal
    log.info("stopped")


async def _end_in_time(stop: StopToken, settings: Settings) -> None:
    """End the process by force when it still runs after both timeouts; a stop during the start counts, too."""
    await stop.wait()
    log.info("stopping")
    force = settings.force_shutdown_seconds * _FORCE_SHARE
    _end_by_force_after(settings.graceful_shutdown_seconds + force)


async def _stop_server(stop: StopToken, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


def _end_by_force_after(seconds: float) -> None:
    def end() -> None:
        sys.stderr.write(f"daybook: still running {seconds:g} s after the stop signal: ended by force\n")
        sys.stderr.flush()
        os._exit(Exit.FORCED)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def _listening_socket(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.http_host, settings.http_port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(f"HttpHost={host!r}, HttpPort={port}: {error.strerror}") from error
    with listener:
        yield listener
