"""The options of `daybook import` that tell how a file is to be read."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

_PANEL = "How to read files that are not plain CSV"


def _option(name: str, metavar: str, help_: str) -> Any:
    return typer.Option(name, metavar=metavar, help=help_, rich_help_panel=_PANEL)


Map = Annotated[
    list[str] | None, _option("--map", "FIELD=COLUMN", "Column of a field, such as amount=Betrag; once for each field.")
]
TypeMap = Annotated[
    list[str] | None,
    _option("--type-map", "WORD=TYPE", "Type that a word means: deposit, withdrawal or reject; once for each word."),
]
DateFormat = Annotated[
    str | None, _option("--date-format", "FORMAT", "Form of timestamps, such as %d.%m.%Y, or epoch, or epoch-ms.")
]
TimeZone = Annotated[
    str | None, _option("--time-zone", "ZONE", "Zone of timestamps without an offset, such as Europe/Berlin; else UTC.")
]
Delimiter = Annotated[str | None, _option("--delimiter", "CHARACTER", "Character between fields, such as ; or \\t.")]
Decimal = Annotated[str | None, _option("--decimal", "CHARACTER", "Character before decimals: . or ,")]
Thousands = Annotated[str | None, _option("--thousands", "CHARACTER", "Character between groups of three digits.")]
CurrencySign = Annotated[
    str | None, _option("--currency-sign", "SIGN", "Sign that may stand before or after an amount, such as €.")
]
Encoding = Annotated[str | None, _option("--encoding", "NAME", "Encoding of the text, such as utf-16 or cp1252.")]


def told(
    map_: Sequence[str] | None, type_map: Sequence[str] | None, texts: Mapping[str, str | None]
) -> dict[str, object]:
    """Return what the options tell, under the keys of a profile. Raises typer.BadParameter for a pair without `=`."""
    found: dict[str, object] = {key: text for key, text in texts.items() if text is not None}
    for key, pairs in (("map", map_), ("type-map", type_map)):
        if pairs:
            found[key] = dict(_split(key, pair) for pair in pairs)
    return found


def _split(key: str, pair: str) -> tuple[str, str]:
    left, equals, right = pair.partition("=") if key == "map" else pair.rpartition("=")
    if not equals or not left.strip() or not right.strip():
        example = "amount=Betrag" if key == "map" else "Gutschrift=deposit"
        raise typer.BadParameter(f"{pair!r}: write it as {example}", param_hint=f"--{key}")
    return left.strip(), right.strip()
