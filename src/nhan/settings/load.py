"""Every setting has one home: its name, type, default and one line of help.

`nhan.toml` in the workspace is read first, `NHAN_*` variables over it (two underscores go one
table down: `NHAN_SERVE__PORT=9000`). An unknown key is refused by name with the nearest valid one.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as MalformedVariable

from nhan.errors import SettingsError
from nhan.settings.tables import (
    DeploySettings,
    GateSettings,
    ImageSettings,
    KubeflowSettings,
    LabelStudioSettings,
    LoopSettings,
    ReviewSettings,
    ServeSettings,
    SplitSettings,
    StorageSettings,
    UploadSettings,
    WebhookSettings,
)

FILE_NAME = "nhan.toml"
_PREFIX = "NHAN_"
# Variables that are not settings: where the workspace is, where fonts are, and the like.
OTHER_VARIABLES = frozenset(
    {
        "NHAN_WORKSPACE",
        "NHAN_FONTS",
        "NHAN_KEY",
        "NHAN_URL",
        "NHAN_WEBHOOK_SECRET",
        "NHAN_LABELSTUDIO_TOKEN",
        "NHAN_SIGNING_SECRET",
    }
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
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    deploy: DeploySettings = Field(default_factory=DeploySettings)
    loop: LoopSettings = Field(default_factory=LoopSettings)
    kubeflow: KubeflowSettings = Field(default_factory=KubeflowSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    review: ReviewSettings = Field(default_factory=ReviewSettings)
    labelstudio: LabelStudioSettings = Field(default_factory=LabelStudioSettings)

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
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors add a mark
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"{path} is not UTF-8 (byte {error.object[error.start]:#04x})",
                hint="save it as UTF-8",
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(
                f"{path} is not valid TOML: {error}",
                hint="nhan init makes a file to compare with, e.g. in /tmp/example",
            ) from error
    _refuse_unknown_variables()
    try:
        return Settings(**values)
    except ValidationError as error:
        raise settings_error(error, Settings, _variable(error) or source) from error
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
    if first["type"] == "model_type":
        return SettingsError(
            f"setting {key} = {shown!r} in {source}: it is a table, not a value",
            hint=f"a line [{key}], and its settings below it",
        )
    said = str(first["msg"])
    return SettingsError(
        f"setting {key} = {shown!r} in {source}: {said[:1].lower()}{said[1:]}",
        hint=meaning_of(model, location)
        or "`nhan doctor --settings` lists every setting with its meaning and default",
    )


def meaning_of(model: type[BaseModel], location: Sequence[str]) -> str:
    """What a setting means and what it is by default; '' for what has no description.

    Args:
        model: the table that it is looked up in.
        location: names of tables and setting; what follows within a value is ignored.
    """
    table: type[BaseModel] | None = model
    for name in location:
        info = table.model_fields.get(name) if table is not None else None
        if info is None:
            return ""
        if info.description:
            plain = not info.is_required() and info.default_factory is None
            default = f" (default: {info.default!r})" if plain else ""
            return f"{name}: {info.description}{default}"
        table = _table_of(info.annotation)
    return ""


def _variable(error: ValidationError) -> str:
    """The variable that the value at fault came from; '' where it came from the file."""
    words = [str(part).upper() for part in error.errors()[0]["loc"]]
    names = (_PREFIX + "__".join(words[:depth]) for depth in range(len(words), 0, -1))
    return next((f"the variable {name}" for name in names if name in os.environ), "")


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
        close = difflib.get_close_matches(variable, list(valid), n=1, cutoff=0.8)
        raise SettingsError(
            f"unknown variable {variable}",
            hint=f"did you mean {close[0]}?" if close else "see `nhan doctor --settings`",
        )


def changed_variables(settings: Settings) -> dict[str, str]:
    """The settings that differ from their defaults as NHAN_* variables, for another machine.

    Where things are stored is left out: other machines reach it by other means, or with secrets.
    """
    found: dict[str, str] = {}
    for table_name, info in Settings.model_fields.items():
        table = _table_of(info.annotation)
        if table is None or table_name == "storage":
            continue
        values, defaults = getattr(settings, table_name), table()
        for name in table.model_fields:
            value = getattr(values, name)
            if value != getattr(defaults, name):
                text = value if isinstance(value, str) else json.dumps(value)
                found[f"{_PREFIX}{table_name.upper()}__{name.upper()}"] = text
    return found


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
