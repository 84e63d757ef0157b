"""Networks that read one line: a table of names, each imported only when chosen."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from nhan.errors import SettingsError
from nhan.settings import settings_error
from nhan.tasks.text.networks.base import LineNetwork, NetworkOptions

# Each class takes (options, classes) and has its options class as `Options`.
NETWORKS = {
    "crnn": "nhan.tasks.text.networks.crnn:Crnn",
    "convgru": "nhan.tasks.text.networks.convgru:ConvGru",
    "svtr": "nhan.tasks.text.networks.svtr:Svtr",
}


def build_network(
    name: str, classes: int, options: Mapping[str, Any]
) -> tuple[LineNetwork, NetworkOptions]:
    """Make an untrained network.

    Args:
        name: a key of `NETWORKS`.
        classes: outputs per step, the blank included.
        options: what differs from the network's defaults.

    Returns:
        The network and its filled options.

    Raises:
        SettingsError: no such network, or an option is unknown or out of range.
    """
    if name not in NETWORKS:
        raise SettingsError(f"no network {name!r}", hint=f"networks: {', '.join(sorted(NETWORKS))}")
    module, _, attribute = NETWORKS[name].partition(":")
    cls = getattr(import_module(module), attribute)
    try:
        filled: NetworkOptions = cls.Options(**options)
    except ValidationError as error:
        raise settings_error(error, cls.Options, f"the options of network {name!r}") from error
    network: LineNetwork = cls(filled, classes)
    return network, filled
