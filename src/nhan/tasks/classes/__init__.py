"""Image classes: what a class name is, how a picture is prepared, learned, answered and scored."""

from __future__ import annotations

from nhan.tasks.classes.task import ClassesTask

__all__ = ["ClassesTask"]
