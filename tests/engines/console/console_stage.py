"""Opening the console's pages in Chromium, and noticing whatever goes wrong on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request


@dataclass
class Visit:
    """A page, what went wrong on it, and what it asked for."""

    page: Page
    context: BrowserContext
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def note(self, request: Request) -> None:
        self.asked.append(request.url)


Open = Callable[..., Visit]


@contextmanager
def opening(chromium: Browser, base: str) -> Iterator[Open]:
    visits: list[Visit] = []

    def open_page(
        path: str, *, language: str = "vi", width: int = 1440, theme: str = "light",
        reviewer: str = "An", base: str = base,
    ) -> Visit:  # fmt: skip
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, locale=language, color_scheme=theme,
        )  # fmt: skip
        context.add_init_script(f"localStorage.setItem('nhan-reviewer', {json.dumps(reviewer)})")
        made = Visit(context.new_page(), context)
        visits.append(made)
        page = made.page
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: made.problems.append(str(error)))
        page.on(
            "console",
            lambda said: made.problems.append(said.text) if said.type == "error" else None,
        )
        page.on("request", made.note)
        page.goto(base + path)
        return made

    yield open_page
    for made in visits:
        made.context.close()
        outside = [url for url in made.asked if not url.startswith((base, "blob:", "data:"))]
        assert not outside, "the console asks nobody but its own server"
