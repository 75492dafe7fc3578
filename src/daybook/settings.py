"""Every setting, its names in the environment, its default and its bounds (design, section 2)."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from daybook.errors import ConfigurationError


def _named(name: str, *further: str, default: Any, **bounds: Any) -> Any:
    """A field under its contract's name and the upper-snake form of it, and of the `further` names."""
    names = [form for each in (name, *further) for form in (each, _upper_snake(each))]
    return Field(default=default, validation_alias=AliasChoices(*names), **bounds)


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What a service runs with. Use `load()`; it answers bad values with one line."""

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
    max_resident_buckets: int = _named("MaxResidentBuckets", default=20_000, ge=100)
    max_methods_per_bucket: int = _named("MaxMethodsPerBucket", default=1000, ge=1, le=50_000)
    max_queue_elements: int = _named("MaxQueueElements", default=10_000, ge=1)
    max_queue_bytes: int = _named("MaxQueueBytes", default=64 << 20, ge=1 << 10)
    max_reject_bytes: int = _named("MaxRejectBytes", default=8 << 20, ge=1 << 10)
    max_open_files: int = _named("MaxOpenFiles", default=64, ge=1, le=1000)
    lease_seconds: float = _named("LeaseSeconds", default=5.0, ge=0.2, le=3600)

    @property
    def embedded_redis(self) -> bool:
        return self.redis_host is None


def load(**overrides: Any) -> Settings:
    """The settings of this environment; raises ConfigurationError with variable, value, what is allowed."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = _name_in_use(str(first["loc"][0]))
        value = "" if _is_secret(name) else f"={first['input']!r}"
        raise ConfigurationError(f"{name}{value}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _name_in_use(name: str) -> str:
    """The form of a variable's name that the environment has; `name` itself if it is none of them."""
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
