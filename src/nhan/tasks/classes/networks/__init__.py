"""Networks that turn pictures into features and features into logits."""

from __future__ import annotations

from nhan.tasks.classes.networks.base import ClassNetwork
from nhan.tasks.classes.networks.small import SmallNetwork

__all__ = ["ClassNetwork", "SmallNetwork"]
