"""Where settings come from, and which are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memsvc import config


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.upper().startswith("MEMSVC_"):
            monkeypatch.delenv(variable)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "memsvc.toml"
    path.write_text(text)
    return path


def test_flag_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, 'listen = "127.0.0.1:1"\nlog_level = "error"\ndrain_seconds = 3\n')
    monkeypatch.setenv("MEMSVC_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("MEMSVC_LOG_LEVEL", "debug")
    settings = config.load({"listen": "127.0.0.1:3", "data": None}, path)
    assert settings.listen == "127.0.0.1:3"
    assert settings.log_level == "debug"
    assert settings.drain_seconds == 3
    assert settings.page_token_hours == 24


def test_config_file_can_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSVC_CONFIG", str(_file(tmp_path, "drain_seconds = 7\n")))
    assert config.load({}).drain_seconds == 7


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.load({}).listen = "127.0.0.1:1"


def test_unknown_key_in_file_is_named_with_the_known_ones(tmp_path: Path) -> None:
    path = _file(tmp_path, 'lissten = "127.0.0.1:1"\n')
    with pytest.raises(config.ConfigError, match=r"lissten: unknown key; known: data, listen"):
        config.load({}, path)


def test_unknown_variable_is_an_error_but_the_clients_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMSVC_SERVER", "127.0.0.1:7600")
    config.load({})
    monkeypatch.setenv("MEMSVC_DRAIN_SECOND", "3")
    with pytest.raises(config.ConfigError, match="MEMSVC_DRAIN_SECOND: unknown variable"):
        config.load({})


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"listen": "localhost"}, "listen: 'localhost' is not HOST:PORT"),
        ({"listen": "::1:7600"}, "listen: '::1:7600' is not HOST:PORT"),
        ({"listen": "127.0.0.1:99999"}, "no port between 0 and 65535"),
        ({"drain_seconds": -1}, "drain_seconds: "),
        ({"log_level": "loud"}, "log_level: "),
        ({"metrics_listen": "0.0.0.0:9000"}, "metrics_listen: 0.0.0.0:9000 is not a loopback"),
        ({"turn_context": "shouted"}, "turn_context: "),
        ({"tokenizers": "mine"}, "tokenizers: is NAME=PATH"),
        ({"tokenizers": "mine=/nowhere/t.json"}, "tokenizers: mine: /nowhere/t.json is not a file"),
        ({"tokenizers": f"characters={__file__}"}, "'characters' is no name for a tokenizer"),
    ],
)
def test_bad_values_are_named(flags: dict[str, object], complaint: str) -> None:
    with pytest.raises(config.ConfigError, match=complaint):
        config.load(flags)


@pytest.mark.parametrize("listen", ["0.0.0.0:7600", "[::]:7600", "memory.example.org:7600"])
def test_an_address_others_can_reach_needs_keys(
    listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(config.ConfigError, match="set api_keys"):
        config.load({"listen": listen})
    monkeypatch.setenv("MEMSVC_API_KEYS", "0123456789abcdef, fedcba9876543210")
    settings = config.load({"listen": listen})
    assert [key.get_secret_value() for key in settings.api_keys] == [
        "0123456789abcdef",
        "fedcba9876543210",
    ]


def test_short_keys_are_refused_and_no_key_is_shown(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="at least 16 characters") as caught:
        config.load({}, _file(tmp_path, 'api_keys = ["swordfish"]\n'))
    assert "swordfish" not in str(caught.value)
    settings = config.load({}, _file(tmp_path, 'api_keys = ["0123456789abcdef"]\n'))
    assert "0123456789abcdef" not in repr(settings)


@pytest.mark.parametrize("text", ["listen = ", "\xff\xfe"])
def test_a_file_that_is_not_toml_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memsvc.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(config.ConfigError, match="config file"):
        config.load({}, path)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="is not there"):
        config.load({}, tmp_path / "none.toml")


def test_tokenizers_are_named_in_the_file_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    for path in (one, two):
        path.write_text("{}")
    path = _file(tmp_path, f'tokenizers = {{ a = "{one}" }}\n')
    assert config.load({}, path).tokenizers == {"a": one}
    monkeypatch.setenv("MEMSVC_TOKENIZERS", f"a={one}, b/c={two}")
    assert config.load({}, path).tokenizers == {"a": one, "b/c": two}


def test_every_setting_is_in_the_manual() -> None:
    manual = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
    assert config.table() in manual
