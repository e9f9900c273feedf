"""/docs and /redoc in a real browser: drawn, without a console error, without the outside world."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("path", "drawn"), [("/docs", "#swagger-ui .opblock-tag"), ("/redoc", "#redoc h1")]
)
def test_a_reader_draws_the_whole_document_under_our_policy(
    browser: Browser, address: str, path: str, drawn: str
) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}{path}")
    page.wait_for_selector(drawn)
    page.wait_for_load_state("networkidle")
    if path == "/docs":
        page.click("#operations-tag-images")
        page.wait_for_selector("#operations-images-createImage")
    text = page.inner_text("body")
    page.close()
    assert "Mirada" in text
    assert "Upload a picture" in text
    assert complaints == []
    assert [url for url in asked if not url.startswith((address, f"blob:{address}"))] == []


def test_an_operation_can_be_tried_from_the_page(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/docs")
    page.click("#operations-tag-images")
    page.click("#operations-images-listImages .opblock-summary")
    page.click("#operations-images-listImages button.execute")
    page.wait_for_selector("#operations-images-listImages .live-responses-table")
    answer = page.inner_text("#operations-images-listImages .live-responses-table")
    page.close()
    assert '"results": []' in answer
