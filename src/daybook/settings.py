"""All settings: their names in the environment, their defaults and their bounds."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from daybook.domain.currency import checked_currency
from daybook.errors import ConfigurationError
from daybook.logs import printable


def _named(name: str, *further: str, default: Any, **bounds: Any) -> Any:
    """Return a field that is set by `name` or a `further` name, each also in its upper-snake form."""
    names = [form for each in (name, *further) for form in (each, _upper_snake(each))]
    return Field(default=default, validation_alias=AliasChoices(*names), **bounds)


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


MOST_METHODS_IN_MONGODB = 29_000
"""A bucket is one MongoDB document of at most 16 MiB, of which Daybook uses 15 MiB (15,728,640 bytes).

A payment method has at most 64 characters of 4 bytes. BSON adds a type byte and a zero to each name, which stands in
`TotalAmount` with a Decimal128 (1 + 256 + 1 + 16 = 274 bytes) and in `TransactionCount` with an int64
(1 + 256 + 1 + 8 = 266 bytes): 540 bytes a method, 15,660,000 in all; 68,640 bytes are left for the other fields.
A redo document holds one such bucket and up to 1 MiB around it. A restatement takes less: one name with an array of
two Decimal128 and an int64 (1 + 256 + 1 + 54 = 312 bytes a method).
"""

_NEAR, _FAR, _LONG = 1, 2, 10
"""A variable is one letter away from the setting that is meant, two where the setting's name has ten or more."""

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


Currency = Annotated[str, BeforeValidator(checked_currency)]


class Settings(BaseSettings):
    """The settings of a service. Make them with `load()`, which reports a bad value in one line."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
    )

    redis_host: str | None = _named("RedisHost", default=None, min_length=1)
    redis_port: int = _named("RedisPort", default=6379, ge=1, le=65535)
    redis_username: str | None = _named("RedisUsername", default=None)
    redis_password: SecretStr | None = _named("RedisPassword", default=None)
    queue_key: str = _named("RedisTransactionQueueKeyName", default="TransactionQueue", min_length=1)
    csv_file_path: str | None = _named("CsvFilePath", default=None, min_length=1)
    import_profile: Path | None = _named("ImportProfile", default=None)
    currency: Currency | None = _named("Currency", default=None)
    mongo_uri: SecretStr | None = _named("MongoDbUri", default=None)
    mongo_database: str = _named("MongoDbName", default="TransactionsDb", pattern=r'^[^/\\. "$*<>:|?]{1,63}$')
    graceful_shutdown_seconds: Seconds = _named("GracefulShutDownTimeout", default=10.0)
    force_shutdown_seconds: Seconds = _named("ForceShutDownTimeout", default=2.0)
    queue_wait_seconds: Seconds = _named("TransactionCkeckTimeout", "TransactionCheckTimeout", default=0.5, gt=0)
    cut_off_days: int = _named("CutOffDays", default=7, ge=0, le=3_660_000)
    cut_off_minutes: int = _named("CutOffMinutes", default=0, ge=0, le=1_000_000)
    cut_off_seconds: int = _named("CutOffSeconds", default=0, ge=0, le=100_000_000)
    dump_interval_seconds: Seconds = _named("DumperTaskScheduleInterval", default=10.0, gt=0)
    replay_speed: float = _named("ReplaySpeed", default=1.0, ge=0, le=1e9, allow_inf_nan=False)
    data_dir: Path = _named("DataDir", default=Path("daybook-data"))
    http_host: str = _named("HttpHost", default="127.0.0.1", min_length=1)
    http_port: int = _named("HttpPort", default=8000, ge=0, le=65535)
    allow_anonymous: bool = _named("AllowAnonymous", default=False)
    max_resident_buckets: int = _named("MaxResidentBuckets", default=20_000, ge=100)
    max_methods_per_bucket: int = _named("MaxMethodsPerBucket", default=1000, ge=1, le=50_000)
    max_queue_elements: int = _named("MaxQueueElements", default=10_000, ge=1)
    max_queue_bytes: int = _named("MaxQueueBytes", default=64 << 20, ge=1 << 10)
    max_reject_bytes: int = _named("MaxRejectBytes", default=8 << 20, ge=1 << 10)
    keep_contributions: bool = _named("KeepContributions", default=True)
    max_reject_share: float = _named("MaxRejectShare", default=0.5, ge=0, le=1, allow_inf_nan=False)
    on_overlap: Literal["auto", "hold", "warn", "import"] = _named("OnOverlap", default="auto")
    max_open_files: int = _named("MaxOpenFiles", default=64, ge=1, le=1000)
    max_wait_seconds: Seconds = _named("MaxWaitSeconds", default=60.0, gt=0)
    lease_seconds: float = _named("LeaseSeconds", default=5.0, ge=0.2, le=3600)

    @property
    def embedded_redis(self) -> bool:
        return self.redis_host is None

    def problem(self) -> str:
        """Return why the settings do not fit together; empty when they do."""
        if self.mongo_uri is not None and self.max_methods_per_bucket > MOST_METHODS_IN_MONGODB:
            return (
                f"MaxMethodsPerBucket={self.max_methods_per_bucket}: at most {MOST_METHODS_IN_MONGODB} with MongoDbUri"
                ", because MongoDB holds a day and type in one document of at most 16 MB"
            )
        return ""


def load(**overrides: Any) -> Settings:
    """Return the settings from the environment and `.env`; `overrides` go before both.

    Says on standard error which variables are nearly a setting's name.
    Raises ConfigurationError with the variable, its value (unless it is secret) and what is allowed.
    """
    for name, meant in misspelt().items():
        sys.stderr.write(f"daybook: {printable(name)}: did you mean {meant}? It is ignored as it is\n")
    try:
        loaded = Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = _name_in_use(str(first["loc"][0]))
        value = "" if _is_secret(name) else f"={first['input']!r}"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(f"{name}{value}: {reason[:1].lower()}{reason[1:]}") from None
    if problem := loaded.problem():
        raise ConfigurationError(problem)
    return loaded


def misspelt() -> dict[str, str]:
    """Return the variables of the environment and of `.env` that are nearly a setting's name, each with that name.

    Nothing else uses such a name, as a rule. Words that are far from every name belong to other programs.
    """
    known = {form.lower() for form in _forms()} | {"log_format"}
    variables = dict.fromkeys([*os.environ, *dotenv_values(str(Settings.model_config["env_file"]))])
    found = {name: _nearest(name) for name in variables if name.lower() not in known}
    return {name: meant for name, meant in found.items() if meant}


def _forms() -> Iterator[str]:
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices):
            yield from map(str, field.validation_alias.choices)


def _nearest(name: str) -> str:
    """Return the setting's name that a word is one or two letters away from, in the word's own form; else empty."""
    is_snake = "_" in name
    forms = [form for form in _forms() if ("_" in form) == is_snake]
    distance, nearest = min((_distance(_folded(name), _folded(form)), form) for form in forms)
    return nearest if distance <= (_FAR if len(_folded(nearest)) >= _LONG else _NEAR) else ""


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _distance(first: str, second: str) -> int:
    """Return the number of letters to add, remove or replace to make one word of the other."""
    if abs(len(first) - len(second)) > _FAR:
        return _FAR + 1
    row = list(range(len(second) + 1))
    for index, letter in enumerate(first, 1):
        before, row[0] = row[0], index
        for place, other in enumerate(second, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != other))
    return row[-1]


def _name_in_use(name: str) -> str:
    """Return the spelling of the setting's name that the environment uses; `name` itself when it uses none."""
    present = {variable.lower(): variable for variable in os.environ}
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        forms = [str(form) for form in alias.choices] if isinstance(alias, AliasChoices) else []
        if name in forms:
            return next((present[form.lower()] for form in forms if form.lower() in present), name)
    return name


def _is_secret(name: str) -> bool:
    folded = name.replace("_", "").lower()
    return "password" in folded or "uri" in folded
