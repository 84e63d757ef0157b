"""Letters on stdout and stderr: no command fails for them, whatever the locale says."""

from __future__ import annotations

import codecs
import io
import sys


def speak_utf8() -> None:
    """Write UTF-8 into files and pipes, as everywhere else; show a terminal what it can show.

    Else a job that is done could end with an error for one tone mark in its report.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # somebody put another in its place
        if codecs.lookup(stream.encoding).name == "utf-8":
            continue
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8")
