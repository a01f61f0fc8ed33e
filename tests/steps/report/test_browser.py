"""The report in a real browser; skips without one."""

import shutil

import pytest

from iem_batch.steps.report.step import PAGE
from tests.steps.report.test_page import HOSTILE, do_everything, plan_photos, report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",  # its own sandbox does not work for root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser():
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    run = plan_photos(folder)
    do_everything(run, folder)
    report(run)
    return (folder / "run" / PAGE).as_uri()


@pytest.fixture
def page(browser, page_url):
    """The page as a reader has it; fails on console messages and requests of its own."""
    context = browser.new_context()
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_url)
    yield page
    context.close()
    assert not said
    assert [url for url in asked if not url.startswith("data:")] == [page_url]


def shown(page) -> set[str]:
    return set(page.locator(".card:visible .name").all_inner_texts())


def test_galleries_show_their_pictures(page):
    """A page that forbids too much by its own policy shows broken pictures and no colours."""
    pictures = page.locator(".card img")
    assert pictures.count() > 20
    widths = pictures.evaluate_all("images => images.map(image => image.naturalWidth)")
    assert min(widths) > 0
    assert page.locator(".chart svg").count() == 4
    assert shown(page) == {HOSTILE, "a.png", "b.png", "c.png"}


def test_filter_by_name_error_selection_and_kind(page):
    page.get_by_label("Name contains").fill("A.p")
    assert shown(page) == {"a.png"}
    assert page.locator("#shown").inner_text() == "5 of 17 shown"
    assert page.locator(".none:visible").count() > 0
    page.get_by_role("button", name="Show all").click()
    # Playwright asks for functions by eval, which the page's policy forbids; for locators it waits.
    sync_api.expect(page.locator(".card[hidden]")).to_have_count(0)
    page.get_by_label("Error from").fill("0.6")
    assert shown(page) == {HOSTILE, "a.png"}
    page.get_by_label("Error to").fill("0.8")
    assert shown(page) == {"a.png"}
    page.get_by_label("Error from").fill("")
    assert shown(page) == {"a.png", "b.png", "c.png"}
    page.get_by_label("Error to").fill("")
    page.get_by_label("Selection").select_option("no")
    assert shown(page) == {"b.png", "c.png"}
    page.get_by_label("Selection").select_option("")
    page.get_by_label("IoU to").fill("99")
    assert shown(page) == {HOSTILE}
    page.get_by_label("IoU to").fill("")
    page.get_by_label("inpainted").uncheck()
    assert page.locator("[data-label=inpainted]:visible").count() == 0
    assert page.locator("[data-label=photo]:visible").count() > 0
    before = page.locator(".card img").first.bounding_box()["width"]
    page.get_by_label("Pictures").select_option("large")
    assert page.locator(".card img").first.bounding_box()["width"] > 1.5 * before


def test_everything_can_be_reached_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = "document.activeElement.name || document.activeElement.tagName"
        reached.append(page.evaluate(name))
        # A focused element that looks like any other leaves the reader lost.
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) != "none" or reached[-1] == "BODY"
        if reached[-1] == "name":
            page.keyboard.type("b.png")
            assert shown(page) == {"b.png"}
        if reached[-1] == "SUMMARY":
            page.keyboard.press("Enter")
            assert page.locator("details[open] pre").is_visible()
            break
    assert {"name", "least", "most", "iou", "selected", "size", "label", "A"} <= set(reached)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 360])
def test_axe_finds_nothing(browser, page_url, scheme, width):
    """Contrast, names, labels, landmarks and order of headings, by the rules of axe-core."""
    # The page's own policy would keep axe out.
    viewport = {"width": width, "height": 800}
    context = browser.new_context(color_scheme=scheme, viewport=viewport, bypass_csp=True)
    page = context.new_page()
    page.goto(page_url)
    page.evaluate("document.querySelector('details').open = true")
    found = axe.Axe().run(page)
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    context.close()
    assert not found.violations_count, found.generate_report()
    assert wider <= 0, "the page can be scrolled sideways"


def test_without_script_everything_is_shown(browser, page_url):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_url)
    assert shown(page) == {HOSTILE, "a.png", "b.png", "c.png"}
    assert not page.locator("#filter").is_visible()
    context.close()
