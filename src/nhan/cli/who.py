"""Who is at the keyboard, for the promotion log."""

from __future__ import annotations

import getpass


def who() -> str:
    """The user's name; empty where the system does not know it, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
