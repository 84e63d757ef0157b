"""Plain values as TOML, which the standard library reads but does not write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """Nested tables of texts, numbers, truths and lists; None is left out, as TOML has none."""
    own = {k: v for k, v in values.items() if v is not None and not isinstance(v, Mapping)}
    lines = [f"[{prefix}]"] if prefix and own else []
    lines += [f"{_key(key)} = {_value(value)}" for key, value in own.items()]
    text = "\n".join(lines) + "\n" if lines else ""
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = to_toml(value, f"{prefix}.{_key(key)}" if prefix else _key(key))
            text += ("\n" if text and inner else "") + inner
    return text


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        parts = (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        # JSON escapes what TOML does, but for DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
