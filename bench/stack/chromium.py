"""The distribution's Chromium without a window, driven by Playwright."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

from bench.stack.install import ensure_installed
from bench.stack.packages import CHROMIUM

# It asks nobody for anything but the page that it is shown.
_ARGUMENTS: Final = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium(report: Callable[[str], None]) -> AsyncIterator[Browser]:
    """Start it, with a profile of its own that is forgotten; installed first where it is missing.

    Raises:
        StackError: it cannot be installed.
    """
    ensure_installed(report, CHROMIUM)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM.bindir() / "chromium", args=_ARGUMENTS
        )
        try:
            yield browser
        finally:
            await browser.close()
