"""Text lines: what a label is, how a picture is prepared, decoded and scored."""

from __future__ import annotations

from nhan.tasks.text.task import TextTask

__all__ = ["TextTask"]
