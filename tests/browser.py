"""A real Chromium, headless, for tests that open a page. A conftest imports the fixture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A playwright browser: the system's Chromium, else the one that playwright installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, _NAMES)), None) or playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.skip("needs Chromium: apt install chromium, or python -m playwright install chromium")
        chromium = playwright.chromium.launch(executable_path=found)
        yield chromium
        chromium.close()
