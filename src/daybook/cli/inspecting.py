"""`daybook inspect`: says what the first rows of a file are, and writes the profile that would make them pass.

All of the output is TOML: what is said stands in comments, so that the output can be saved as `daybook.toml`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from daybook.logs import printable
from daybook.settings import Settings
from daybook.sources.inspection import MOST_WORDS, TEXTS, Sight, Trial, inspect, missing_fields, try_profile
from daybook.sources.looks import Look
from daybook.sources.profile import Profile
from daybook.sources.profiles import PROFILE_NAME, Profiles

_HELP = {
    Look.ZIP: "unpack it and inspect the file inside",
    Look.EXCEL: "save the sheet as CSV (UTF-8) and inspect that file",
    Look.OLD_EXCEL: "save the sheet as CSV (UTF-8) and inspect that file",
    Look.GZIP: "unpack it once and inspect the result",
    Look.OTHER_COMPRESSION: "unpack it and inspect the file inside",
    Look.PARQUET: "write it as CSV and inspect that file",
    Look.ARROW: "write it as CSV and inspect that file",
    Look.JSON_LINES: "push its lines to the queue (LPUSH), or write them as CSV",
    Look.JSON_ARRAY: "push its objects to the queue (LPUSH), one a line, or write them as CSV",
}


def inspect_file(settings: Settings, path: Path) -> Iterator[str]:
    """Yield lines of TOML about a file. Raises SourceError when it cannot be read."""
    path = path.expanduser().absolute()
    sight = inspect(path)
    if sight.look is not None and sight.look not in TEXTS:
        yield _comment(f"{path}: is {sight.look}: {_HELP.get(sight.look, 'Daybook cannot read it')}")
        return
    if not sight.names:
        yield _comment(f"{path}: holds nothing")
        return
    now = try_profile(path, Profiles(default=settings.import_profile, currency=settings.currency or "").of(path, None))
    yield _comment(f"{path}: what its first rows show")
    yield from map(_comment, _what_is_seen(sight))
    yield from map(_comment, _outcome("now", now))
    if now.rows and now.passed == now.rows:
        yield _comment("daybook import reads all of these rows as they are: no profile is needed")
        return
    then = try_profile(path, sight.profile)
    yield from map(_comment, _outcome("with the profile below", then))
    yield _comment(f"review it, then save it as {path.parent / PROFILE_NAME}: it counts for all files of that folder")
    yield ""
    yield from _toml(sight)


def _comment(text: str) -> str:
    return f"# {printable(text)}"


def _what_is_seen(sight: Sight) -> Iterator[str]:
    doubt = "" if sight.encoding_is_sure else f" is a guess: look whether this word is right: {sight.sample}"
    yield f"encoding {sight.encoding}{doubt}"
    yield f"delimiter {sight.delimiter!r}, columns {', '.join(sight.names)}"
    if sight.dates is not None:
        forms = " or ".join(each.date_format or "ISO 8601" for each in sight.dates.formats) or "no known form"
        ambiguous = "AMBIGUOUS: " if len(sight.dates.formats) > 1 else ""
        yield f"timestamp: {ambiguous}{forms} fits {sight.dates.number} of {sight.dates.of} values"
    if sight.amounts is not None:
        forms = " or ".join(map(_amount_form, sight.amounts.formats)) or "no known form"
        ambiguous = "AMBIGUOUS: " if len(sight.amounts.formats) > 1 else ""
        yield f"amount: {ambiguous}{forms} fits {sight.amounts.number} of {sight.amounts.of} values"
    for name in missing_fields(sight):
        columns = sight.columns.get(name)
        yield f"{name}: {' or '.join(columns) if columns else 'no column looks like it'}: its column must be told"


def _amount_form(profile: Profile) -> str:
    parts = [f"decimals after {profile.decimal!r}"]
    parts += [f"thousands before {profile.thousands!r}"] if profile.thousands else []
    parts += [f"sign {profile.currency_sign}"] if profile.currency_sign else []
    return ", ".join(parts)


def _outcome(when: str, trial: Trial) -> Iterator[str]:
    if trial.problem:
        yield f"{when}: no row would pass: {trial.problem}"
        return
    yield f"{when}: {trial.passed} of {trial.rows} rows would pass"
    for reason, number, line, raw in trial.reasons:
        yield f"    {number} rejected: {reason}; the first in line {line}: {raw}"


def _toml(sight: Sight) -> Iterator[str]:
    profile, plain = sight.profile, Profile()
    for key, value, usual in (
        ("encoding", profile.encoding, plain.encoding),
        ("delimiter", profile.delimiter, plain.delimiter),
        ("date-format", profile.date_format, plain.date_format),
        ("decimal", profile.decimal, plain.decimal),
        ("thousands", profile.thousands, plain.thousands),
        ("currency-sign", profile.currency_sign, plain.currency_sign),
    ):
        if value != usual:
            yield f"{key} = {_text(value)}"
    yield from _choices(sight)
    yield from _map(sight, profile)
    if sight.words:
        yield "\n[type-map]  # deposit, withdrawal or reject: check each word"
        for word, (kind, number) in list(sight.words.items())[:MOST_WORDS]:
            yield f'{_text(word)} = "{kind}"  # {number} rows'
        if len(sight.words) > MOST_WORDS:
            yield _comment(f"{len(sight.words) - MOST_WORDS} further words: is this the column of the type?")


def _choices(sight: Sight) -> Iterator[str]:
    """Yield what only the user can tell, as comments to take off."""
    if sight.dates is not None and len(sight.dates.formats) > 1:
        yield "# the dates are ambiguous: take the # off before the right line"
        for each in sight.dates.formats:
            yield f"# date-format = {_text(each.date_format)}"
    if sight.dates is not None and any(_has_time(each) for each in sight.dates.formats):
        yield '# time-zone = "Europe/Berlin"  # else timestamps without an offset are in UTC'
    if sight.amounts is not None and len(sight.amounts.formats) > 1:
        yield "# the amounts are ambiguous: take the # off before the right line or lines"
        for each in sight.amounts.formats:
            thousands = f", thousands = {_text(each.thousands)}" if each.thousands else ""
            yield f"# decimal = {_text(each.decimal)}{thousands}".replace(", ", "\n# ")


def _has_time(profile: Profile) -> bool:
    text = profile.date_format
    return not text or (("%H" in text or "%I" in text) and "%z" not in text)


def _map(sight: Sight, profile: Profile) -> Iterator[str]:
    missing = missing_fields(sight)
    if profile.map or missing:
        yield "\n[map]"
    for name, column in profile.map.items():
        yield f"{name} = {_text(column)}"
    for name in missing:
        others = ", ".join(sight.columns.get(name) or sight.names)
        yield f"# {name} = {_text('?')}  # {printable(others)}"


def _text(value: str) -> str:
    """Return a text as a basic string of TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
