"""Pictures of the status page, light and dark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.stack.chromium import chromium

_COLOURS: Final = 64
_DESK: Final = {"width": 1120, "height": 900}
_PICTURES: Final[dict[str, dict[str, Any]]] = {
    "status-light": {"color_scheme": "light", "viewport": _DESK},
    "status-dark": {"color_scheme": "dark", "viewport": _DESK},
}


async def take_pictures(url: str, directory: Path, report: Callable[[str], None]) -> None:
    """Write the page at ``url`` into ``directory``, as status-light.png and so on.

    Raises:
        StackError: there is no Chromium, and it cannot be installed.
    """
    async with chromium(report) as browser:
        for name, options in _PICTURES.items():
            page = await browser.new_page(**options)
            await page.goto(url)
            await page.locator("main").wait_for()
            path = directory / f"{name}.png"
            await page.screenshot(path=path, full_page=True)
            # A page has few colours; this halves the file.
            Image.open(path).convert("RGB").quantize(_COLOURS).save(path, optimize=True)
            await page.close()
