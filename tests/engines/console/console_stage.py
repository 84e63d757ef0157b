"""Opening the console's pages in Chromium, and noticing whatever goes wrong on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request

# How long a page may take for what it does within a second where nothing else runs.
PATIENCE_MS = 120_000


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
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_MS)
    visits: list[Visit] = []

    def open_page(
        path: str, *, language: str = "vi", width: int = 1440, theme: str = "light",
        reviewer: str = "An", base: str = base,
    ) -> Visit:  # fmt: skip
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, locale=language, color_scheme=theme,
        )  # fmt: skip
        context.add_init_script(f"localStorage.setItem('nhan-reviewer', {json.dumps(reviewer)})")
        context.set_default_timeout(PATIENCE_MS)
        made = Visit(context.new_page(), context)
        visits.append(made)
        page = made.page
        page.on("pageerror", lambda error: made.problems.append(str(error)))
        page.on(
            "console",
            lambda said: made.problems.append(said.text) if said.type == "error" else None,
        )
        page.on("request", made.note)
        page.goto(base + path)
        return made

    try:
        yield open_page
    finally:
        for made in visits:
            made.context.close()
    for made in visits:
        outside = [url for url in made.asked if not url.startswith((base, "blob:", "data:"))]
        assert not outside, "the console asks nobody but its own server"


def follow(page: Page, link: Locator) -> None:
    """Click what leads to another page and wait until its script is there.

    A click is over once the new page begins to arrive: its elements may be clicked before its
    script hears of it.
    """
    with page.expect_navigation(wait_until="load"):
        link.click()
