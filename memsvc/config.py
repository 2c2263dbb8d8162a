"""What an operator can set, and from where: flag > environment `MEMSVC_…` > TOML file > default.

The one place that reads the environment. Knows no engine, store or model; unknown keys are errors
wherever they stand, because a misspelt limit that is silently ignored is a limit nobody has.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic import model_validator as _model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

ENV_PREFIX = "MEMSVC_"
CONFIG_FILE_VARIABLE = "MEMSVC_CONFIG"
# Read by the SDK and the CLI (package memsvc_client) or by tests, not by the server.
JUDGE_KEY_VARIABLE = "MEMSVC_JUDGE_KEY"  # of `memsvc bench`
FOREIGN_VARIABLES = frozenset(
    {CONFIG_FILE_VARIABLE, JUDGE_KEY_VARIABLE, "MEMSVC_SERVER", "MEMSVC_API_KEY", "MEMSVC_KERNELS"}
)
MIN_KEY_CHARACTERS = 16
_TOKENIZER_NAME = re.compile(r"[A-Za-z0-9._/-]{1,64}")


class ConfigError(ValueError):
    """A setting that cannot be used; the message names it and says where it came from."""


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[IPv6]:PORT`. Raises ValueError on anything else."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        raise ValueError(f"{address!r} is not HOST:PORT")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} has no port between 0 and 65535")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address. An unknown name is taken to be public."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def default_data() -> Path:
    """`$XDG_DATA_HOME/memsvc`, by default `~/.local/share/memsvc`."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "memsvc"


Address = Annotated[str, AfterValidator(_checked_address)]


class ServerConfig(BaseSettings):
    """Every setting of `memsvc serve`; frozen. The descriptions become docs/configuration.md."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    data: Path = Field(
        default_factory=default_data,
        description="Directory of the SQLite database and the segment files.",
    )
    listen: Address = Field("127.0.0.1:7600", description="`HOST:PORT` of gRPC; port 0 picks one.")
    database_url: SecretStr | None = Field(
        None, description="`postgresql+psycopg://…` to keep the rows there instead of in SQLite."
    )
    model: str | None = Field(
        None,
        description="Directory or Hugging Face id of the model; none: the router version that is "
        "current (`memsvc router`), else the one that ships with memsvc. Banks of another model "
        "are encoded anew.",
    )
    previous_model: str | None = Field(
        None,
        description="The model before this one: it serves the banks that it encoded until they are "
        "encoded anew, and is loaded only for that; none: the router version before, else the one "
        "that ships.",
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys that callers send as `authorization: Bearer KEY`; in the environment "
        f"separated by commas; at least {MIN_KEY_CHARACTERS} characters each. None: open, and "
        "then `listen` must be a loopback address.",
    )
    retrieval_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Embedders and rerankers (directories or hub ids, separated by commas in the "
        "environment) that `Compare` may load for callers. Where there are no `api_keys`, any.",
    )
    metrics_listen: Address | None = Field(
        None, description="Loopback `HOST:PORT` of Prometheus metrics over HTTP; unset: none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged (JSON lines on stderr, never with text)."
    )
    drain_seconds: float = Field(
        20.0, ge=0, le=3600, description="How long SIGTERM waits for calls and encoding in flight."
    )
    page_token_hours: float = Field(
        24.0, gt=0, le=24 * 365, description="How long a `page_token` is good for."
    )
    auto_compact_dead_fraction: float = Field(
        0.5, gt=0, le=1, description="A bank with more dead bytes than this share is compacted."
    )
    near_memory_gib: float | None = Field(
        None,
        gt=0,
        description="Memory for the routing keys of open banks; unset: half of the machine's. The "
        "bank that was asked longest ago is closed first, and opened again when it is asked.",
    )
    coarse_chunks: int = Field(
        50_000,
        ge=0,
        description="Chunks from which on a bank may be routed over with a coarse pass first, "
        "where that is measured to pay; 0: never.",
    )
    pinned_banks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Banks that stay open (separated by commas in the environment); they are "
        "opened first at the start.",
    )

    turn_context: Literal["alone", "spoken", "neighboured"] = Field(
        "neighboured",
        description="What the title of a session's turn tells the model: nothing, who spoke and on "
        "which day, or also how the turn before began (until that turn is forgotten or changed). "
        "Holds for turns appended from then on.",
    )
    tokenizers: Annotated[dict[str, Path], NoDecode] = Field(
        {},
        description="Tokenizers of other models for `BuildSessionContext`: names and their "
        "`tokenizer.json` (in the environment `NAME=PATH`, separated by commas).",
    )

    @field_validator("api_keys", "retrieval_models", "pinned_banks", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("tokenizers", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if any("=" not in part for part in parts):
            raise ValueError("is NAME=PATH, separated by commas")
        return {name.strip(): path.strip() for name, _, path in (p.partition("=") for p in parts)}

    @field_validator("tokenizers")
    @classmethod
    def _known_tokenizers(cls, value: dict[str, Path]) -> dict[str, Path]:
        for name, path in value.items():
            if not _TOKENIZER_NAME.fullmatch(name) or name == "characters":
                raise ValueError(
                    f"{name!r} is no name for a tokenizer: 1 to 64 of A-Z, a-z, 0-9 and ._/-, "
                    "not 'characters'"
                )
            if not path.is_file():
                raise ValueError(f"{name}: {path} is not a file")
        return value

    @_model_validator(mode="after")
    def _closed_to_strangers(self) -> ServerConfig:
        if any(len(key.get_secret_value()) < MIN_KEY_CHARACTERS for key in self.api_keys):
            raise ValueError(f"api_keys: a key needs at least {MIN_KEY_CHARACTERS} characters")
        if not self.api_keys and not is_loopback(self.listen):
            raise ValueError(
                f"listen: {self.listen} can be reached from other machines; set api_keys, "
                "or listen on 127.0.0.1"
            )
        if self.metrics_listen is not None and not is_loopback(self.metrics_listen):
            raise ValueError(f"metrics_listen: {self.metrics_listen} is not a loopback address")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the TOML file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(flags: Mapping[str, Any], config_file: Path | None = None) -> ServerConfig:
    """Build the settings; flags that are None count as not given.

    Raises ConfigError on an unknown key (in the file, the environment or the flags), a bad value,
    a missing or malformed file, and on a public address without keys.
    """
    _refuse_unknown_variables()
    if config_file is None and os.environ.get(CONFIG_FILE_VARIABLE):
        config_file = Path(os.environ[CONFIG_FILE_VARIABLE])
    if config_file is not None and not config_file.is_file():
        raise ConfigError(f"config file {config_file} is not there")
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return _reading(config_file)(**given)
    except ValidationError as error:
        raise ConfigError("; ".join(_describe(item) for item in error.errors())) from None
    except (SettingsError, ValueError) as error:  # ValueError: not TOML, or not UTF-8
        raise ConfigError(f"config file {config_file}: {error}") from None


def judge_key() -> str | None:
    """The bearer token of a bench's judge, where there is one."""
    return os.environ.get(JUDGE_KEY_VARIABLE)


def _reading(config_file: Path | None) -> type[ServerConfig]:
    class ConfigFromFile(ServerConfig):
        model_config = SettingsConfigDict(toml_file=config_file)

    return ConfigFromFile


def _describe(item: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; known: {', '.join(ServerConfig.model_fields)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _refuse_unknown_variables() -> None:
    known = {ENV_PREFIX + name.upper() for name in ServerConfig.model_fields} | FOREIGN_VARIABLES
    for variable in os.environ:
        if variable.upper().startswith(ENV_PREFIX) and variable.upper() not in known:
            raise ConfigError(f"{variable}: unknown variable; known: {', '.join(sorted(known))}")


def table() -> str:
    """The settings as a Markdown table; docs/configuration.md holds it word for word."""
    lines = ["| key | environment | default | meaning |", "|---|---|---|---|"]
    for name, field in ServerConfig.model_fields.items():
        default = "`~/.local/share/memsvc`" if name == "data" else _shown(field.default)
        lines.append(
            f"| `{name}` | `{ENV_PREFIX}{name.upper()}` | {default} | {field.description} |"
        )
    return "\n".join(lines)


def _shown(default: object) -> str:
    return "none" if default in (None, (), {}) else f"`{default}`"
