"""YAML as people expect to read it: no anchors, keys in the order written, long texts whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Manifest = Mapping[str, Any]


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(*documents: Manifest, about: str = "") -> str:
    """Documents as one YAML file.

    Args:
        documents: plain values only.
        about: comment lines for its head.
    """
    head = "".join(f"# {line}\n" for line in about.splitlines())
    return head + "---\n".join(
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        for document in documents
    )


def write_files(out: Path, files: Mapping[str, str]) -> list[Path]:
    """Write texts by their name under a folder."""
    written = []
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def dns_name(name: str) -> str:
    """A model's name as KServe and Services allow names: RFC 1035, at most 53 characters."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    if plain[:1].isdigit():
        plain = f"model-{plain}"
    return plain[:53].strip("-") or "model"


def from_secret(variable: str, secret: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    """An environment variable whose value stands in a Secret, never in a manifest."""
    reference: dict[str, Any] = {"name": secret, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def plain(variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Environment variables with their values."""
    return [{"name": name, "value": value} for name, value in variables.items()]


def merged(*parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lists, one after another."""
    return [one for part in parts for one in part]
