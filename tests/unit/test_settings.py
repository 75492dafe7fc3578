"""Names, aliases, defaults and refusals of the settings."""

from pathlib import Path

import pytest

from daybook import settings
from daybook.errors import ConfigurationError

NAMES = {
    "RedisHost": ("redis_host", "r", "r"),
    "RedisPort": ("redis_port", "7000", 7000),
    "RedisTransactionQueueKeyName": ("queue_key", "Q", "Q"),
    "CsvFilePath": ("csv_file_path", "f.csv", "f.csv"),
    "MongoDbName": ("mongo_database", "Db", "Db"),
    "GracefulShutDownTimeout": ("graceful_shutdown_seconds", "3", 3.0),
    "ForceShutDownTimeout": ("force_shutdown_seconds", "4", 4.0),
    "TransactionCkeckTimeout": ("queue_wait_seconds", "0.1", 0.1),
    "TransactionCheckTimeout": ("queue_wait_seconds", "0.1", 0.1),
    "CutOffDays": ("cut_off_days", "1", 1),
    "CutOffMinutes": ("cut_off_minutes", "2", 2),
    "CutOffSeconds": ("cut_off_seconds", "3", 3),
    "DumperTaskScheduleInterval": ("dump_interval_seconds", "0.5", 0.5),
    "ReplaySpeed": ("replay_speed", "0", 0.0),
    "DataDir": ("data_dir", "d", Path("d")),
    "HttpHost": ("http_host", "0.0.0.0", "0.0.0.0"),
    "HttpPort": ("http_port", "1", 1),
}
SNAKE = {
    "RedisHost": "REDIS_HOST",
    "RedisTransactionQueueKeyName": "REDIS_TRANSACTION_QUEUE_KEY_NAME",
    "CsvFilePath": "CSV_FILE_PATH",
    "MongoDbName": "MONGO_DB_NAME",
    "TransactionCkeckTimeout": "TRANSACTION_CKECK_TIMEOUT",
    "TransactionCheckTimeout": "TRANSACTION_CHECK_TIMEOUT",
    "CutOffDays": "CUT_OFF_DAYS",
    "HttpPort": "HTTP_PORT",
    "DataDir": "DATA_DIR",
}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, *SNAKE.values(), "MongoDbUri"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", [*NAMES, *SNAKE.values()])
def test_every_name_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = next((full for full, snake in SNAKE.items() if snake == name), name)
    field, text, value = NAMES[contract]
    monkeypatch.setenv(name, text)
    assert getattr(settings.load(), field) == value


def test_defaults_and_env_file(tmp_path: Path) -> None:
    loaded = settings.load()
    assert (loaded.redis_host, loaded.mongo_uri, loaded.http_host, loaded.cut_off_days) == (
        None,
        None,
        "127.0.0.1",
        7,
    )
    (tmp_path / ".env").write_text("RedisPort=7001\nSOMETHING_ELSE=1\n")
    assert settings.load().redis_port == 7001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HttpPort", "70000"),
        ("RedisPort", "x"),
        ("ReplaySpeed", "-1"),
        ("ReplaySpeed", "nan"),
        ("DumperTaskScheduleInterval", "0"),
        ("MongoDbName", "a.b"),
        ("CutOffDays", "1.5"),
    ],
)
def test_a_bad_value_is_named_in_one_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        settings.load()
    message = str(caught.value)
    assert message.startswith(f"{name}={value!r}: ")
    assert "\n" not in message
    assert "should" in message


def test_more_methods_than_a_mongodb_document_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MaxMethodsPerBucket", str(settings.MOST_METHODS_IN_MONGODB + 1))
    assert settings.load().max_methods_per_bucket == settings.MOST_METHODS_IN_MONGODB + 1
    monkeypatch.setenv("MongoDbUri", "mongodb://user:hunter2@h/")
    with pytest.raises(
        ConfigurationError, match=r"^MaxMethodsPerBucket=29001: at most 29000 with MongoDbUri"
    ) as refused:
        settings.load()
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("MaxMethodsPerBucket", str(settings.MOST_METHODS_IN_MONGODB))
    assert settings.load().max_methods_per_bucket == settings.MOST_METHODS_IN_MONGODB


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MongoDbUri", "mongodb://user:hunter2@h/")
    monkeypatch.setenv("RedisPassword", "hunter2")
    assert "hunter2" not in f"{settings.load()!r} {settings.load()}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CutOffDay", "CutOffDays"),
        ("CUT_OFF_DAY", "CUT_OFF_DAYS"),
        ("MongoDBUrl", "MongoDbUri"),
        ("MONGODB_URI", "MONGO_DB_URI"),
        ("RedisTransactionQueueKeyNames", "RedisTransactionQueueKeyName"),
        ("HttpPorts", "HttpPort"),
        ("DataDirs", "DataDir"),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_a_misspelt_setting_is_named(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, in_file: bool
) -> None:
    if in_file:
        (tmp_path / ".env").write_text(f"{name}=1\nCutOffMinutes=3\n")
    else:
        monkeypatch.setenv(name, "1")
    assert settings.misspelt() == {name: meant}


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "HTTPS_PROXY", "REDIS_URL", "DATABASE_URL", "HOSTNAME", "LOG_FORMAT", "cutoffdays", "PORT"]
)
def test_other_words_are_no_misspelt_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert settings.misspelt() == {}
