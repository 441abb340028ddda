"""The report of a real run with failed rows, opened in a real browser without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import run, write_jsonl

ATTACK = '</script><script>document.title="owned"</script><img src=x onerror="document.title=1">'
ODD = 'a "column" <b>& {{ 7*7 }}'
ROWS: list[dict[str, Any]] = [
    *({"prompt": f"fox number {k}", "style": "photo", ODD: "one"} for k in range(8)),
    *({"prompt": f"hen number {k}", "style": "sketch", ODD: "two", "width": 128} for k in range(8)),
    {"prompt": ATTACK, "style": ATTACK, "id": 'r"><script>document.title=2</script>', ODD: ATTACK},
    {"prompt": "مرحبا بالعالم 🐈‍⬛ " + "long" * 80, "style": "rtl", ODD: "'; alert(1); '"},
    {"prompt": f"wide {ATTACK}", "width": 100},
    {"prompt": "", "style": ATTACK},
    {"prompt": "too many tokens", "params": {"max_sequence_length": 4096}},
]
LIGHT, DARK, PHONE = {"color_scheme": "light"}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    manifest = write_jsonl(folder / "rows.jsonl", ROWS)
    options = ("--model", "tiny:flux.1-dev", "--steps", "3", "--workers", "1", "--out", folder / "out")
    assert run("render", manifest, *options).returncode == 3
    done = run("report", folder / "out")
    assert done.returncode == 0, done.stderr
    assert "18 done, 3 failed, 0 left of 21" in done.stdout
    return folder / "out" / "report.html"


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the test's end nothing may have been complained of or asked from outside."""
    trouble: list[str] = []
    contexts = []

    def open_page(fragment: str = "", **options: Any) -> Any:
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: trouble.extend([request.url] * (request.url[:5] not in ("file:", "data:"))))
        page.goto(page_file.as_uri() + fragment)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def shown(page: Any) -> list[str]:
    return page.locator(".cards li:not([hidden]) .prompt").all_text_contents()


def test_text_from_the_manifest_stays_text(opened: Callable[..., Any]) -> None:
    page = opened()
    assert page.title() == "tiny:flux.1-dev: renderay report"
    assert ATTACK in page.locator(".card .prompt").all_text_contents()
    page.click("#more")
    assert page.get_by_label(ODD).count() == 1
    page.locator(".card", has_text="onerror").first.click()
    assert ATTACK in page.locator("#viewer dd").all_text_contents()
    assert page.evaluate("document.querySelectorAll('main script, main img[onerror]').length") == 0
    assert page.title() == "tiny:flux.1-dev: renderay report"


def test_the_gallery_filters_by_text_and_by_any_column(opened: Callable[..., Any]) -> None:
    page = opened()
    assert len(shown(page)) == 18
    widths = page.evaluate("[...document.querySelectorAll('.card img')].map((image) => image.naturalWidth)")
    assert sorted(widths) == [64] * 10 + [128] * 8
    page.fill("#search", "FOX 3")
    assert shown(page) == ["fox number 3"] and page.inner_text("#shown") == "1 of 18 shown"
    page.fill("#search", "")
    page.click("#more")
    page.get_by_label(ODD).select_option(label="two (8)")
    assert sorted(shown(page)) == [f"hen number {k}" for k in range(8)]
    page.locator("[data-column=size]").select_option(label="64 × 64 (10)")
    assert shown(page) == [] and page.is_visible("#nothing")
    page.click("text=Clear")
    expect(page.locator("#shown")).to_have_text("18 shown")
    page.select_option("#order", "slow")
    times = page.evaluate("[...document.querySelectorAll('.cards .card')].map(c => cards[c.dataset.i].ms)")
    assert times == sorted(times, reverse=True)


def test_the_keyboard_is_enough(opened: Callable[..., Any]) -> None:
    page = opened()
    focused = "document.activeElement.querySelector('.prompt')?.textContent ?? document.activeElement.id"
    page.keyboard.press("/")
    assert page.evaluate(focused) == "search"
    page.keyboard.type("fox")
    page.locator(".card[tabindex='0']").focus()
    assert page.evaluate(focused) == "fox number 0"
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate(focused) == "fox number 1"
    page.keyboard.press("Enter")
    assert page.inner_text("#viewer-prompt") == "fox number 1"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#viewer-prompt") == "fox number 2"
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator(".card:focus .prompt")).to_have_text("fox number 2")
    page.keyboard.press("End")
    assert page.evaluate(focused) == "fox number 7"
    chart = page.locator(".plot.tall").first
    chart.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator(".stepchart output").first.inner_text().startswith("step 1: median ")


def test_slow_rows_lead_to_their_card_even_if_filtered_away(opened: Callable[..., Any]) -> None:
    page = opened()
    page.fill("#search", "nothing like it")
    assert shown(page) == []
    link = page.locator("#slowest tbody a").first
    link.click()
    expect(page.locator(".cards li[hidden]")).to_have_count(0)
    assert page.evaluate("'#' + document.activeElement.parentElement.id") == link.get_attribute("href")


@pytest.mark.parametrize("look", [PHONE, PHONE | DARK, LIGHT], ids=["phone", "phone-dark", "desk"])
def test_nothing_runs_over_the_side(opened: Callable[..., Any], look: dict[str, Any]) -> None:
    page = opened(**look)
    page.click("#more")
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
    page.locator(".card", has_text="onerror").first.click()
    box = page.locator("#viewer").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.evaluate("innerWidth")


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_both_themes_have_contrast(opened: Callable[..., Any], look: dict[str, Any]) -> None:
    page = opened(**look)
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) == 18
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert dark == (look is DARK)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(2 if look is LIGHT else 1):  # auto -> light -> dark
        page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_the_filter_bar_stays_in_view(opened: Callable[..., Any]) -> None:
    page = opened(viewport={"width": 900, "height": 400})
    page.locator(".card").last.scroll_into_view_if_needed()
    assert page.locator("#filters").bounding_box()["y"] >= 0


# the palette's text and mark colours against both backgrounds, and labels against the colours they lie on (WCAG 2)
CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const probe = document.body.appendChild(document.createElement("i"));
  const luminance = (name) => {
    probe.style.color = `var(--${name})`;
    canvas.fillStyle = getComputedStyle(probe).color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(luminance(a), luminance(b)) + 0.05) / (Math.min(luminance(a), luminance(b)) + 0.05);
  const pairs = [];
  for (const mark of ["ink", "muted", "blue", "teal", "plum", "ochre", "red"])
    pairs.push([mark, "paper"], [mark, "raised"]);
  for (const ground of ["blue", "teal", "plum", "ochre"]) pairs.push(["on-colour", ground]);
  return Object.fromEntries(pairs.map(([a, b]) => [`${a} on ${b}`, ratio(a, b)]));
}"""
