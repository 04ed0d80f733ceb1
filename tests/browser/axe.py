"""axe-core in a page: every rule for WCAG 2 A and AA and the best practices, no exceptions."""

from typing import Any

from playwright.sync_api import Page

from tests.browser.stand import shared_file

_AXE = shared_file("axe.min.js")
# The light page was checked whole: in the dark only colours differ.
_COLOURS = "{runOnly: ['color-contrast', 'link-in-text-block'], resultTypes: ['violations']}"
_ALL = "{resultTypes: ['violations']}"


def violations(page: Page, colours_only: bool = False) -> list[str]:
    """What axe finds wrong on the page as it stands, one line for each element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    found: Any = page.evaluate(f"axe.run(document, {_COLOURS if colours_only else _ALL})")
    return [
        f"{fault['id']}: {node['target']} {node['html'][:120]} {(node['failureSummary'] or '')[:200]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]
