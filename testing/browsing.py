"""Pages in a real browser, as the tests of pages look at them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

AXE = Path(__file__).resolve().parents[1] / "tests" / "browser" / "axe" / "axe.min.js.gz"
PROVOKED = ("error: Failed to load resource:", "warning: [.WebGL")
"""What browsers say of a refused request, and of software that draws; that it was meant, a test knows."""
WATCH = """
  window.reports = [];
  window.shifts = [];
  document.addEventListener("securitypolicyviolation", (event) => {
    window.reports.push(`${event.violatedDirective} ${event.blockedURI}`);
  });
  const box = (rect) => [rect.x, rect.y, rect.width, rect.height].map(Math.round).join(",");
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.hadRecentInput) continue;
      const moved = entry.sources.map((one) =>
        `${one.node?.className || one.node?.nodeName} ${box(one.previousRect)} to ${box(one.currentRect)}`);
      window.shifts.push([entry.value, moved.slice(0, 3).join("; ")]);
    }
  }).observe({type: "layout-shift", buffered: true});
"""


STICKS_OUT = """() => {
  const controls = "input, select, textarea, button, .button, .chip, .pill, .tick";
  return [...document.querySelectorAll(controls)].filter((one) => {
    const box = one.getBoundingClientRect(), place = one.parentElement.getBoundingClientRect();
    const isAside = ["absolute", "fixed"].includes(getComputedStyle(one).position);
    if (isAside || box.width < 2 || getComputedStyle(one.parentElement).overflowX !== "visible") return false;
    return box.right > place.right + 1 || box.left < place.left - 1;
  }).map((one) => one.outerHTML.slice(0, 120));
}"""


@dataclass
class Visit:
    """A page that is open, and what a person does not see of it.

    Attributes:
        page: Playwright's.
        complaints: of the console, and errors of scripts.
        foreign: addresses beyond this server that were asked for.
        asked: every address that was asked for.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Open a page, until nothing more is loaded."""
        self.page.goto(f"{self.address}{path}")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def faults(self) -> list[str]:
        """Return what axe finds, of any impact; each with the first elements at fault."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Runtime.evaluate", {"expression": gzip.decompress(AXE.read_bytes()).decode()})
        found = session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run(document, {resultTypes: ['violations']}).then((found) => "
                "found.violations.map((one) => one.id + ' (' + one.impact + '): ' + "
                "one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        session.detach()
        return list(found["result"]["value"])

    def shifts(self) -> list[tuple[float, str]]:
        """Return each layout shift since the page was opened: how much, and what moved where."""
        return [(float(value), moved) for value, moved in self.page.evaluate("window.shifts")]

    def is_wider_than_its_window(self) -> bool:
        """Return whether one has to scroll sideways."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )

    def sticking_out(self) -> list[str]:
        """Return the controls that are wider than the place they are in, where it does not scroll."""
        return [str(one) for one in self.page.evaluate(STICKS_OUT)]

    def require_clean(self) -> None:
        """Check that nothing was complained of, asked of others, or stopped by the policy."""
        reports = self.page.evaluate("window.reports")
        found = (self.complaints, self.foreign, reports)
        assert found == ([], [], []), found

    def require_nothing_odd(self) -> None:
        """Check what holds of every visit, whatever a test provokes.

        No error of a script, nothing that the policy stopped, nothing asked of others.
        """
        odd = [one for one in self.complaints if not one.startswith(PROVOKED)]
        assert (odd, self.foreign) == ([], [])


@contextmanager
def visiting(browser: Browser, address: str, **context: Any) -> Iterator[Visit]:
    """Yield a page in a profile of its own; `context` as Playwright's `new_context` takes it.

    After what is done with it, nothing odd must have happened.
    """
    profile: BrowserContext = browser.new_context(**context)
    profile.add_init_script(WATCH)
    page = profile.new_page()
    visit = Visit(page, address)
    page.on("console", lambda message: visit.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))

    def heard(request: Any) -> None:
        visit.asked.append(request.url)
        if not request.url.startswith((address, f"blob:{address}")):
            visit.foreign.append(request.url)

    page.on("request", heard)
    yield visit
    visit.require_nothing_odd()
    profile.close()
