"""The status page in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from bench.stack.chromium import chromium
from bench.stack.process import free_port
from tests.integration.test_status import RUBBISH, settled
from tests.support.gateway import Gateway, bill, dlr
from tests.support.service import TIMEOUT, Service, eventually

expect.set_options(timeout=TIMEOUT * 1000)
AT_WORK = re.compile("Settling|Idle")
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
}


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium(print) as browser:
        yield browser


class Seen:
    """What a page asked for, and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))


async def figure(page: Page, stream: str, term: str) -> str | None:
    """Return what the page shows for a term of a stream."""
    card = page.locator(f'[data-stream="{stream}"]')
    return await card.locator(f'dt:text-is("{term}") + dd').text_content()


async def test_it_shows_what_was_counted_in_every_light_and_size(
    start, gateway: Gateway, browser: Browser
) -> None:
    service = await start().ready()
    messages = [str(number) for number in range(1200)]
    await gateway.add_cdrs(messages)
    await gateway.publish(dlr(message, "DELIVRD") for message in messages)
    await gateway.publish([*(bill(m, f"b-{m}") for m in messages[:7]), RUBBISH])
    await eventually(lambda: settled(service), (1201, 7))
    grounds = set()
    for look in LOOKS.values():
        page = await browser.new_page(**look)
        seen = Seen(page)
        await page.goto(f"{service.url}/")
        await expect(page.locator("h1")).to_have_text(AT_WORK)
        assert await figure(page, "dlr", "settled") == "1,201 since the start"
        assert await figure(page, "bill", "settled") == "7 since the start"
        await expect(page.locator(".statuses tr", has_text="delivered")).to_contain_text("1,200")
        await expect(page.locator(".workers tbody tr")).to_have_count(2)
        await expect(page.get_by_text("dlr: malformed")).to_be_visible()
        title, heading = await page.evaluate(
            "[document.title, document.querySelector('h1').innerText]"
        )
        assert title == f"{heading} · billing-service"
        line = page.locator('[data-stream="dlr"] .line')
        await expect(line).to_have_attribute("d", re.compile("^M.+L"))
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert seen.hosts == {urlsplit(service.url).netloc}
        assert seen.complaints == []
        await page.close()
    assert len(grounds) == 2
    assert await service.stop() == 0


# As if submissions were captured until the next answer.
CAPTURING = """async () => {
  const status = await (await fetch("status.json")).json();
  status.streams.submit = { ...status.streams.dlr, queue: "billing_service.submit" };
  status.history.rates.submit = status.history.rates.dlr;
  show(status);
}"""


async def test_a_stream_that_is_no_longer_consumed_is_not_shown(
    start, gateway: Gateway, browser: Browser
) -> None:
    service = await start().ready()
    page = await browser.new_page()
    seen = Seen(page)
    await page.goto(f"{service.url}/")
    await expect(page.locator("[data-stream]")).to_have_count(2)
    await page.evaluate(CAPTURING)
    card = page.locator('[data-stream="submit"]')
    await expect(card).to_contain_text("Submissions")
    await card.locator(".chart").hover()
    await expect(card).to_have_count(0)
    await expect(page.locator("[data-stream]")).to_have_count(2)
    assert seen.complaints == []
    assert await service.stop() == 0


async def test_it_says_when_nobody_answers_and_comes_back(
    start, gateway: Gateway, browser: Browser
) -> None:
    port = str(free_port())
    service: Service = await start(HTTP_PORT=port).ready()
    page = await browser.new_page()
    await page.goto(f"{service.url}/")
    await expect(page.locator("h1")).to_have_text("Idle")
    assert await service.stop() == 0
    await expect(page.locator("h1")).to_have_text("No answer")
    await expect(page.locator(".since")).to_contain_text("last update ")
    await start(HTTP_PORT=port).ready()
    await expect(page.locator("h1")).to_have_text("Idle")
