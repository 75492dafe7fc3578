"""The form of log lines on standard error: text for people, or JSON lines if `LOG_FORMAT=json`."""

import io
import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

_SHOWN = "shown_by_command"
"""Field of the lines that `daybook import` shows in its own way."""


def printable(text: str) -> str:
    """Return the text with control characters, line ends and bytes that are no UTF-8 written out as escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def printable_lines(text: str) -> str:
    """Return the text with each of its lines printable; line feeds stay."""
    return "\n".join(map(printable, text.split("\n")))


def _escape(letter: str) -> str:
    """A lone surrogate stands for a byte of a file's name."""
    byte = ord(letter) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else letter.encode("unicode_escape").decode()  # noqa: PLR2004


def configure(*, quiet: bool = False) -> None:
    """Set up logging for this process.

    `quiet` is for commands: it drops all lines below warnings, and those that the command shows in its own way.
    """
    json = os.environ.get("LOG_FORMAT") == "json"
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=_printable_traceback
        )
    )
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level if json else structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if json else "%Y-%m-%d %H:%M:%S", utc=json),
    ]
    further = structlog.processors.format_exc_info if json else _make_printable
    structlog.configure(
        processors=[_drop_shown if quiet else _keep_shown, *shared, further, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(asctime)s [%(levelname)s] %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _keep_shown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop(_SHOWN, None)
    return event


def _drop_shown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if event.pop(_SHOWN, False):
        raise structlog.DropEvent
    return event


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def _make_printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _printable_traceback(output: TextIO, exc_info: ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    output.write(printable_lines(text.getvalue()))
