"""Every setting has one home: its name, type, default and one line of help.

`nhan.toml` in the workspace is read first, `NHAN_*` variables over it (two underscores go one
table down: `NHAN_SERVE__PORT=9000`). An unknown key is refused by name with the nearest valid one.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as MalformedVariable

from nhan.errors import SettingsError

FILE_NAME = "nhan.toml"
_PREFIX = "NHAN_"
# Variables that are not settings: where the workspace is, where fonts are, and the like.
OTHER_VARIABLES = frozenset({"NHAN_WORKSPACE", "NHAN_FONTS", "NHAN_KEY", "NHAN_URL"})


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class StorageSettings(_Table):
    """Where pictures, models and labels are kept."""

    objects: str = Field("objects", description="object store: a folder or s3://bucket/prefix")
    catalog: str = Field(
        "sqlite:///catalog.db",
        description="catalogue database: sqlite:///FILE or postgresql://host/db",
    )


class ImageSettings(_Table):
    """What one picture may cost, at every door."""

    max_bytes: int = Field(10_000_000, gt=0, description="encoded size of a picture, bytes")
    max_pixels: int = Field(40_000_000, gt=0, description="width × height, told from the header")


class SplitSettings(_Table):
    """How `freeze` divides samples that do not say where they belong."""

    validation: float = Field(0.1, ge=0, lt=1, description="share used to choose the best epoch")
    test: float = Field(0.1, ge=0, lt=1, description="share locked away for the gate")
    salt: str = Field(
        "", description="changes which samples fall where; set before the first freeze"
    )
    near_duplicate_bits: int = Field(
        3,
        ge=0,
        le=16,
        description="pictures whose 64-bit hashes differ in at most so many bits stay together",
    )


class GateSettings(_Table):
    """When a candidate may replace the champion."""

    margin: float = Field(
        0.0, ge=0, description="the candidate's error rate must be lower by at least this much"
    )
    certainty: float = Field(
        0.9,
        ge=0.5,
        le=1,
        description="share of paired bootstrap resamples in which it must be so; 0.5: luck may do",
    )
    slice_tolerance: float = Field(
        0.02, ge=0, description="how much worse any old slice may become (error rate, absolute)"
    )
    min_slice_samples: int = Field(20, ge=1, description="slices smaller than this are not judged")
    max_error: float = Field(
        1.0, gt=0, description="the first champion's error rate must not exceed this"
    )


class ServeSettings(_Table):
    """The server."""

    host: str = Field("127.0.0.1", description="main address; any other than loopback needs keys")
    port: int = Field(8000, ge=0, le=65535, description="main port; 0 picks a free one")
    admin_host: str = Field("127.0.0.1", description="admin address; the same rule")
    admin_port: int = Field(8001, ge=0, le=65535, description="admin port")
    workers: int = Field(0, ge=0, description="inference workers; 0 means one per core")
    model: str = Field(
        "", description="the model that /predict asks by default; empty: the only one"
    )
    bundled: bool = Field(
        True, description="answer as the bundled reader too, while its name has no champion"
    )
    poll_s: float = Field(
        1.0, gt=0, description="how often the promotion log is looked at, seconds"
    )
    queue: int = Field(512, ge=1, description="pictures that may wait; one more is answered 429")
    queue_megabytes: int = Field(256, ge=1, description="their bytes together, in millions")
    deadline_s: float = Field(10.0, gt=0, description="from a picture's arrival to its answer")
    work_s: float = Field(
        20.0, gt=0, description="work on one picture; a worker that takes longer is replaced"
    )
    max_body_bytes: int = Field(
        64_000_000, gt=0, description="body of a request with several pictures"
    )
    max_pictures: int = Field(64, ge=1, description="pictures in one request")
    head_s: float = Field(10.0, gt=0, description="time for a request's head to arrive")
    body_s: float = Field(30.0, gt=0, description="time for a request's body to arrive")
    keep_alive_s: int = Field(30, ge=1, description="time between two requests of a connection")
    connections: int = Field(4096, ge=1, description="clients connected at once")
    grace_s: float = Field(25.0, ge=0, description="time to finish at a shutdown, then all is cut")
    linger_s: float = Field(
        0.5, ge=0, description="time to go on accepting at a shutdown, for load balancers"
    )
    keys: str = Field("keys.json", description="file of hashed keys, in the workspace")
    require_keys: bool = Field(False, description="ask for keys on loopback addresses too")
    url_hosts: list[str] = Field(
        [], description="hosts that image_url may name; empty: off; *: any public address"
    )
    cors_origins: list[str] = Field([], description="web origins that may call; empty: none")
    log: Literal["text", "json"] = Field("text", description="form of the log on stderr")
    access_log: bool = Field(False, description="one log line for each request")
    canary: dict[str, float] = Field(
        {}, description="share of a model's requests that a candidate answers: NAME@VERSION = 0.1"
    )
    shadow: list[str] = Field(
        [], description="candidates that answer silently beside the champion: NAME@VERSION"
    )


class ReviewSettings(_Table):
    """Labelling by people, in the console and at the terminal."""

    hold_minutes: float = Field(
        10.0, gt=0, description="how long a sample that was handed out is given to nobody else"
    )
    suspect: float = Field(
        0.9,
        gt=0,
        le=1,
        description="a model so sure of something other than the label casts doubt on the label",
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        description="opinions that differ by at most this error rate (CER) count as agreeing",
    )


class Settings(BaseSettings):
    """All settings of a workspace, typed and checked."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", validate_default=True
    )

    storage: StorageSettings = Field(default_factory=StorageSettings)
    images: ImageSettings = Field(default_factory=ImageSettings)
    split: SplitSettings = Field(default_factory=SplitSettings)
    gate: GateSettings = Field(default_factory=GateSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    review: ReviewSettings = Field(default_factory=ReviewSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file (which arrives as init values)."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load_settings(directory: Path | None = None) -> Settings:
    """Read `nhan.toml` of a directory (if there is one) and the environment.

    Raises:
        SettingsError: the file is not TOML, a key is unknown, or a value does not fit.
    """
    values: dict[str, Any] = {}
    source = "the environment"
    if directory is not None and (directory / FILE_NAME).exists():
        path = directory / FILE_NAME
        source = str(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid TOML: {error}") from error
    _refuse_unknown_variables()
    try:
        return Settings(**values)
    except ValidationError as error:
        raise settings_error(error, Settings, source) from error
    except MalformedVariable as error:
        raise SettingsError(
            f"a NHAN_* variable that names a table: {error}",
            hint="two underscores: NHAN_SERVE__PORT",
        ) from error


def settings_error(error: ValidationError, model: type[BaseModel], source: str) -> SettingsError:
    """Turn Pydantic's first complaint into one sentence with the key and the nearest one."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        valid = sorted(key_names(model))
        return SettingsError(f"unknown setting {key!r} in {source}", hint=_nearest(key, valid))
    shown = first.get("input")
    return SettingsError(
        f"setting {key} = {shown!r} in {source}: {first['msg'].lower()}",
        hint="`nhan doctor --settings` lists every setting with its meaning and default",
    )


def key_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all settings of a model, tables flattened."""
    names: list[str] = []
    for name, info in model.model_fields.items():
        table = _table_of(info.annotation)
        names.extend(key_names(table, f"{prefix}{name}.") if table else [prefix + name])
    return names


def _table_of(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _nearest(key: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    leaf = difflib.get_close_matches(
        key.rsplit(".", 1)[-1], [name.rsplit(".", 1)[-1] for name in valid], n=1, cutoff=0.7
    )
    if not close and leaf:
        close = [name for name in valid if name.rsplit(".", 1)[-1] == leaf[0]]
    return f"did you mean {close[0]}?" if close else f"settings: {', '.join(valid)}"


def _refuse_unknown_variables() -> None:
    """Pydantic ignores unknown variables; a typo in one must not be silent."""
    valid = {_PREFIX + name.replace(".", "__").upper(): name for name in key_names(Settings)}
    tables = {_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if not variable.startswith(_PREFIX) or variable in valid or variable in OTHER_VARIABLES:
            continue
        if variable in tables:
            continue
        close = difflib.get_close_matches(variable, list(valid), n=1, cutoff=0.5)
        raise SettingsError(
            f"unknown variable {variable}",
            hint=f"did you mean {close[0]}?" if close else "see `nhan doctor --settings`",
        )


def default_file() -> str:
    """A commented `nhan.toml` with every setting at its default, for `nhan init`."""
    lines = [
        "# Settings of this workspace. Every line shows a default; NHAN_* variables win over it."
    ]
    for table_name, info in Settings.model_fields.items():
        table = _table_of(info.annotation)
        assert table is not None, "every top-level setting is a table"
        lines += ["", f"[{table_name}]  # {(table.__doc__ or '').strip()}"]
        for name, field in table.model_fields.items():
            value = field.get_default(call_default_factory=True, validated_data={})
            lines.append(f"# {name} = {_toml(value)}  # {field.description}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)


def describe_settings(model: type[BaseModel], prefix: str = "") -> list[str]:
    """One line a setting: its name, default and meaning."""
    lines: list[str] = []
    for name, info in model.model_fields.items():
        table = _table_of(info.annotation)
        if table is not None:
            lines += describe_settings(table, f"{prefix}{name}.")
        else:
            default = info.get_default(call_default_factory=True, validated_data={})
            lines.append(f"{prefix}{name} = {_toml(default)}  # {info.description}")
    return lines
