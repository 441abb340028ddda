"""The page of `renderay compare` in a real browser without a network, and that the report wears the same design."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from jobs.cli import cli
from manifests.storage import locate
from tests.jobs.results.made import make_out, picture, png
from tests.jobs.results.made_up import batch_times, write_run

ATTACK = '</script><script>document.title="owned"</script><img src=x onerror="document.title=1">{{ 7*7 }}'
LIGHT, DARK, PHONE = {"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 740}}


def made(*arguments: str | Path) -> None:
    done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of two sides that differ, several of many runs, and a report."""
    folder, rng = tmp_path_factory.mktemp("pages"), np.random.default_rng(5)

    def write(name: str, level: float, **columns: Any) -> str:
        levels = level * np.exp(rng.normal(0, 0.01, 2))
        return write_run(folder / name, [batch_times(rng, level=each) for each in levels], png=png(), **columns)

    a = [write(f"a{k}", 1.2, prompt=ATTACK, model=ATTACK) for k in range(4)]
    b = [write(f"b-{'long' * 20}{k}", 1.0, prompt=ATTACK, model=ATTACK, gpu="NVIDIA H100") for k in range(4)]
    sides = [part for flag, runs in (("--a", a), ("--b", b)) for run in runs for part in (flag, run)]
    made("compare", *sides, "--html", folder / "two.html", "--pictures", 3)
    made("compare", *(write(f"many-{k}", 1 + k / 10) for k in range(4)), "--html", folder / "many.html")
    make_out(locate(str(folder / "out")), [picture(k, 12.0 * k) for k in range(4)])
    made("report", folder / "out", "--to", folder / "report.html")
    return {name: folder / f"{name}.html" for name in ("two", "many", "report")}


@pytest.fixture
def opened(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Opens a page; at the test's end nothing may have been complained of or asked from outside."""
    trouble: list[str] = []
    contexts = []

    def open_page(name: str, **options: Any) -> Any:
        contexts.append(browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: trouble.extend([request.url] * (request.url[:5] not in ("file:", "data:"))))
        page.goto(pages[name].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def test_report_and_comparison_share_one_stylesheet(pages: dict[str, Path]) -> None:
    styles = [re.findall(r"<style>(.*?)</style>", page.read_text(), re.DOTALL) for page in pages.values()]
    shared = (files("jobs.results.webpage") / "base.css").read_text()
    assert all(len(each) == 1 and each[0].startswith(shared) for each in styles)
    for text in (page.read_text() for page in pages.values()):
        links = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert "default-src 'none'" in text and all(link.startswith(("data:", "#")) for link in links)


LOOK = """() => Object.fromEntries(["body", "h1", "h2", ".overline", ".headline dt", ".headline dd", "thead th",
  "tbody td", ".scroll", "#theme", ".fine", "nav a"].map((place) => {
    const style = getComputedStyle(document.querySelector(place));
    return [place, ["fontFamily", "fontSize", "fontWeight", "lineHeight", "color", "backgroundColor", "borderColor",
      "padding"].map((name) => style[name])];
  }))"""


@pytest.mark.parametrize("look", [LIGHT, DARK, PHONE], ids=["light", "dark", "phone"])
def test_what_both_pages_have_looks_alike(opened: Callable[..., Any], look: dict[str, Any]) -> None:
    assert opened("two", **look).evaluate(LOOK) == opened("report", **look).evaluate(LOOK)


def test_text_from_the_tables_stays_text(opened: Callable[..., Any]) -> None:
    page = opened("two")
    assert page.title().endswith(": renderay compare") and page.title().startswith("a0, a1, a2, a3 against b-long")
    assert ATTACK in page.locator("figcaption").first.inner_text()
    assert ATTACK in page.locator("#figures h3").first.inner_text()
    assert page.locator("#pictures img").first.get_attribute("alt") == f"{ATTACK}, rendered by a0, a1, a2, a3"
    assert page.evaluate("document.querySelectorAll('main script, main img[onerror]').length") == 0


def test_the_page_tells_what_the_tables_tell(opened: Callable[..., Any]) -> None:
    page = opened("two")
    lead = page.locator(".headline .lead").first.inner_text().split("\n")
    row = page.locator("#figures table").nth(1).locator("tbody tr").first.locator("th, td").all_text_contents()
    assert lead[0] == "Speed-up, a step" and lead[1] == f"{row[3]} ×" and 1.15 < float(row[3]) < 1.25
    assert row[-1] == "b faster" and lead[2].endswith("; b faster")
    assert "GPU: NVIDIA H200 on a, NVIDIA H100 on b" in page.locator(".notice").inner_text()
    assert page.locator(".ratio .mark.faster").count() == 2
    assert page.evaluate("[...document.querySelectorAll('.ends span')].map((end) => end.textContent)")[1] == "1"


def test_of_several_comparisons_none_is_the_headline(opened: Callable[..., Any]) -> None:
    page = opened("many")
    assert page.title() == "3 comparisons: renderay compare" and page.locator(".headline").count() == 0
    assert page.locator(".ratio .mark").count() == 6 and page.locator("#figures tbody tr").count() == 6
    assert page.locator(".ratio .mark.open").count() == 6  # single runs: nothing is told apart


@pytest.mark.parametrize("name", ["two", "many"])
@pytest.mark.parametrize("look", [PHONE, PHONE | DARK, LIGHT], ids=["phone", "phone-dark", "desk"])
def test_nothing_runs_over_the_side(opened: Callable[..., Any], name: str, look: dict[str, Any]) -> None:
    page = opened(name, **look)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
    for box in (place.bounding_box() for place in page.locator(".dot, .ends span").all()):
        assert box["x"] >= 0 and box["x"] + box["width"] <= page.evaluate("innerWidth")


def test_the_theme_can_be_chosen(opened: Callable[..., Any]) -> None:
    page = opened("two", **LIGHT)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2):  # auto -> light -> dark
        page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
