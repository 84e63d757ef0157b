"""Labelling at a terminal: the picture in blocks, the suggestion in the line to edit."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from PIL import Image
from rich.style import Style
from rich.text import Text

from nhan.catalog import reviews
from nhan.cli.console import stdout
from nhan.errors import NhanError, UserError
from nhan.images import RGB, decode
from nhan.review.decide import Action, Decision, decide
from nhan.review.drafts import save_draft
from nhan.review.item import Item
from nhan.review.queue import held_item, next_items
from nhan.review.undo import undo
from nhan.workspace import Workspace

_HELP = (
    "Enter accepts; or type over it. :s REASON skips, :r REASON rejects, :u takes the last one "
    "back, :q ends. A label that begins with a colon is typed with two."
)
_COMMANDS: dict[str, Action] = {":s": "skip", ":r": "reject"}
# A line of text is legible at about this height; wider pictures go on below.
_ROWS_PX = 28
_MOST_STRIPS = 6


class Session:
    """One person's labelling, until nothing waits or they stop.

    Args:
        workspace: where.
        task: of the samples.
        reviewer: who labels.
        ask: gives what was typed, shown a text to begin from; the terminal by default.
    """

    def __init__(
        self,
        workspace: Workspace,
        task: str,
        reviewer: str,
        *,
        ask: Callable[[str, str], str] | None = None,
    ) -> None:
        self._workspace = workspace
        self._task = task
        self._reviewer = reviewer
        self._ask = ask or _ask

    def run(self, count: int = 0) -> int:
        """Label; how many were done.

        Args:
            count: stop after so many; 0: when nothing waits.
        """
        stdout.print(_HELP, style="dim")
        done = 0
        again: Item | None = None
        while not count or done < count:
            item = again or self._next()
            again = None
            if item is None:
                stdout.print("nothing waits", style="dim")
                break
            try:
                typed = self._show_and_ask(item)
                if typed == ":q":
                    break
                if typed == ":u":
                    undone = undo(self._workspace, uuid.uuid4().hex, self._reviewer)
                    again = held_item(self._workspace, undone.sample, self._reviewer)
                    done = max(0, done - 1)
                elif self._decide(item, typed):
                    done += 1
                else:
                    again = held_item(self._workspace, item.sample, self._reviewer)
            except UserError as error:
                stdout.print(f"{error.message} ({error.hint})", style="red", markup=False)
                again = held_item(self._workspace, item.sample, self._reviewer)
            except (EOFError, KeyboardInterrupt):
                break
        return done

    def _next(self) -> Item | None:
        return next(iter(next_items(self._workspace, self._task, self._reviewer, 1)), None)

    def _show_and_ask(self, item: Item) -> str:
        stdout.print()
        facts = f"{item.sample}  {item.name}  {item.width} × {item.height} px  {item.why}"
        stdout.print(facts, style="dim", markup=False)
        self._show_picture(item)
        if item.label is not None:
            stdout.print(f"label in doubt: {item.label}", style="yellow", markup=False)
        for number, name in enumerate(item.classes, start=1):
            stdout.print(f"{number:>4}  {name}", markup=False)
        begin = item.draft[0] if item.draft else item.suggestion.value if item.suggestion else ""
        return self._ask("> ", begin).strip() or begin

    def _show_picture(self, item: Item) -> None:
        if not stdout.is_terminal:  # without colours, blocks say nothing
            return
        try:
            with self._workspace.catalog.read() as connection:
                row = reviews.read_sample(connection, item.sample)
            assert row is not None, "it was just handed out"
            rgb = decode(self._workspace.store.read(row["path"]), self._workspace.picture_limits)
        except NhanError as error:
            stdout.print(f"the picture cannot be shown: {error.message}", markup=False)
            return
        for strip in strips(rgb, max(20, stdout.width)):
            stdout.print(blocks(strip))

    def _decide(self, item: Item, typed: str) -> bool:
        """Carry out what was typed; False to ask again."""
        value: str | None = None
        reason = ""
        if typed.startswith(":") and not typed.startswith("::"):
            command, _, reason = typed.partition(" ")
            if command not in _COMMANDS:
                raise UserError(f"there is no {command}", hint=_HELP)
            action = _COMMANDS[command]
        else:
            action, value = "accept", typed.removeprefix(":") if typed[:2] == "::" else typed
            if item.classes:
                value = self._choose(item, value)
                if value is None:
                    return False
        identity = uuid.uuid4().hex
        decision = Decision(identity, item.sample, self._reviewer, action, value, reason.strip())
        try:
            decided = decide(self._workspace, decision)
        except UserError:
            if value:  # what was typed must not be lost with the complaint
                revision = item.draft[1] if item.draft else 0
                with suppress(NhanError):
                    save_draft(self._workspace, item.sample, self._reviewer, value, revision)
            raise
        if decided.disputed:
            stdout.print("somebody said otherwise; it will be settled", style="yellow")
        return True

    def _choose(self, item: Item, typed: str) -> str | None:
        if typed.isdigit() and 1 <= int(typed) <= len(item.classes) and typed not in item.classes:
            return item.classes[int(typed) - 1]
        if typed in item.classes:
            return typed
        sure = self._ask(f"{typed!r} is a new class. Is it right? y/N ", "")
        return typed if sure.strip().lower() in ("y", "yes", "c", "có") else None


def strips(rgb: RGB, columns: int) -> list[RGB]:
    """A picture scaled to a legible height, cut into pieces that fit a terminal.

    Args:
        rgb: uint8 (H, W, 3).
        columns: of the terminal.
    """
    height, width = rgb.shape[:2]
    most = columns * _MOST_STRIPS
    scale = min(_ROWS_PX / height, most / width)
    size = (max(1, round(width * scale)), max(2, round(height * scale) // 2 * 2))
    scaled = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    return [scaled[:, left : left + columns] for left in range(0, scaled.shape[1], columns)]


def blocks(rgb: RGB) -> Text:
    """Two rows of pixels to a line of text: the upper half block in two colours.

    Args:
        rgb: uint8 (H, W, 3), H even.
    """
    text = Text(no_wrap=True, end="")
    for upper, lower in zip(rgb[::2].tolist(), rgb[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            style = Style(color=_colour(above), bgcolor=_colour(below))
            text.append("▀", style)
        text.append("\n")
    return text


def _colour(pixel: list[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*pixel)


def _ask(prompt: str, begin: str) -> str:
    """Ask at the terminal, with a text to edit where the terminal can."""
    if not sys.stdin.isatty():
        return input(prompt)
    import readline

    readline.set_startup_hook(lambda: readline.insert_text(begin))
    try:
        return input(prompt)
    finally:
        readline.set_startup_hook()
