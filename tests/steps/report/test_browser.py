"""The report in a real browser; skips without one."""

import shutil
from pathlib import Path

import pytest

from iem_batch.run.folder import RunFolder
from iem_batch.steps.do import do
from iem_batch.steps.report.step import PAGE
from iem_batch.steps.topk.selection import TABLE
from iem_batch.steps.topk.settings import TopkSettings
from tests.steps.hand_made import SIZE, row, square
from tests.steps.jobs import job_at
from tests.steps.report.test_other_run import runs  # noqa: F401 - a fixture
from tests.steps.report.test_page import DECODE, HOSTILE, do_everything, plan_photos, report
from tests.steps.topk.selecting import topk

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

TWO_LINES = "two\nlines.png"
RANKED = [HOSTILE, "a.png", "b.png", TWO_LINES, "c.png"]

PIXELS = "all => all.map(each => each.toDataURL?.())"
"""Gives what is drawn, of pictures that are canvases."""

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
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with one more photo, whose name breaks lines and whose mask is nearly everything."""
    folder = tmp_path_factory.mktemp("report")
    run = plan_photos(folder, TWO_LINES)
    do_everything(run, folder, more=[row(TWO_LINES, square(0, 0, 7), 0.3)])
    report(run)
    return run


@pytest.fixture(scope="module")
def page_url(run):
    return Path(run.url_of(PAGE)).as_uri()


@pytest.fixture
def page(browser, page_url):
    """The page as a reader has it."""
    yield from read(browser, page_url)


def read(browser, page_url):
    """Open a page; fails at the end on console messages and requests to elsewhere."""
    context = browser.new_context(accept_downloads=True)
    said, asked = [], []
    context.on("console", lambda message: said.append(message.text))
    context.on("weberror", lambda problem: said.append(str(problem.error)))
    context.on("dialog", lambda dialog: said.append(dialog.message))
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(page_url)
    page.locator("#cards li").last.wait_for()
    yield page
    context.close()
    assert not said
    assert all(url.startswith(("data:", "blob:", "file:///")) for url in asked)


def names(page) -> list[str]:
    return page.locator("#cards .name").all_text_contents()


def card(page, name):
    return page.get_by_role("button").filter(has_text=name)


def test_verdict_and_pictures_come_first(page):
    """A page that forbids too much by its own policy shows broken pictures and no colours."""
    height = page.viewport_size["height"]
    assert "masks: 5 of 6 images have one" in page.locator(".verdict").inner_text()
    assert page.locator(".verdict").bounding_box()["y"] < height / 3
    pictures = page.locator(".sample img")
    assert pictures.first.bounding_box()["y"] < height / 2
    sync_api.expect(page.locator("#cards .mask")).to_have_count(5)
    assert min(pictures.evaluate_all("all => all.map(each => each.naturalWidth)")) > 0
    for drawn in page.locator("#cards canvas").all():
        sync_api.expect(drawn).to_have_attribute("width", str(SIZE))
    assert page.locator(".chart svg").count() == 2


def test_filter_and_order(page):
    assert names(page) == RANKED
    page.get_by_label("Name contains").fill("A.p")
    assert names(page) == ["a.png"]
    page.get_by_role("button", name="Show all").click()
    # Playwright asks for functions by eval, which the page's policy forbids; for locators it waits.
    sync_api.expect(page.locator("#cards li")).to_have_count(5)
    page.get_by_label("Order").select_option("largest area")
    assert names(page) == [TWO_LINES, HOSTILE, "a.png", "b.png", "c.png"]
    assert "area 77 %" in card(page, "two").inner_text()
    page.get_by_label("Area to").fill("76")
    page.get_by_label("Area from").fill("25")
    assert names(page) == [HOSTILE, "a.png", "b.png"]
    page.get_by_label("IoU to").fill("99")
    assert names(page) == [HOSTILE]
    page.get_by_role("button", name="Show all").click()
    sync_api.expect(page.locator("#cards li")).to_have_count(5)
    for which, expected in {
        "selected": RANKED[:2],
        "not selected": RANKED[2:],
        "empty or full": ["c.png"],
        "good": [],
    }.items():
        page.locator("[name=which]").select_option(which)
        assert names(page) == expected
    assert page.locator("#shown").inner_text() == "No photo passes the filter."


def test_cut_shows_which_photos_lie_above_it(page):
    above = page.locator("#cards .above .name")
    assert above.all_text_contents() == [HOSTILE, "a.png"]
    assert "2 of 4 have a score of 0.700" in page.locator("#cut-text").inner_text()
    page.get_by_role("spinbutton", name="k").fill("3")
    page.keyboard.press("Enter")
    sync_api.expect(above).to_have_count(3)
    page.get_by_role("slider").fill("0.85")
    sync_api.expect(above).to_have_count(1)
    assert page.get_by_role("spinbutton", name="k").input_value() == "1"
    page.get_by_role("slider").fill("0")
    sync_api.expect(above).to_have_count(4)  # a mask without two sides is never a label


def test_marks_are_made_by_keys_kept_and_taken_back(page, page_url):
    card(page, "a.png").focus()
    page.keyboard.press("b")
    page.keyboard.press("g")  # the focus has moved on to b.png
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "b"):
        page.keyboard.press(key)
    by_name = {"bad": [HOSTILE, "a.png"], "good": ["b.png"]}

    def expect_marks(page):
        for mark, expected in by_name.items():
            found = page.locator(f"#cards [data-mark={mark}] .name")
            sync_api.expect(found).to_have_text(expected)
            button = page.get_by_role("button", name=f"Download {mark}.txt ({len(expected)})")
            sync_api.expect(button).to_be_visible()

    expect_marks(page)
    # Beside the first, since Chromium may end the process of a page that is left before all that it
    # keeps has been handed over; and a little later.
    page = page.context.new_page()
    marked = page.locator("#cards [data-mark]")
    for _ in range(20):
        page.goto(page_url)
        page.locator("#cards li").last.wait_for()
        if marked.count():
            break
    sync_api.expect(marked).to_have_count(3)
    expect_marks(page)
    page.get_by_label("Area from").fill("70")
    page.get_by_role("button", name="Mark all 1 as bad").click()
    page.get_by_role("button", name="Forget all marks").click()
    sync_api.expect(marked).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Show all").click()
    sync_api.expect(marked).to_have_count(3)
    expect_marks(page)


def test_what_is_marked_and_downloaded_is_left_out_by_topk(page, run, tmp_path):
    """From finding a photo to a selection without it, names that break lines too."""
    page.get_by_label("Name contains").fill("b.png")
    card(page, "b.png").focus()
    page.keyboard.press("b")
    page.get_by_role("button", name="Show all").click()
    sync_api.expect(page.locator("#cards li")).to_have_count(5)
    for name in ("alert", "two"):
        card(page, name).focus()
        page.keyboard.press("b")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download bad.txt (3)").click()
    assert download.value.suggested_filename == "bad.txt"
    file = tmp_path / "bad.txt"
    download.value.save_as(file)
    assert file.read_text() == f'b.png\n{HOSTILE}\n"two\\nlines.png"\n'
    selection = topk(run, TopkSettings(k=9, exclude=str(file)))
    assert run.read_table(TABLE)["image_id"].to_pylist() == ["a.png"]
    assert (selection.num_unlisted, selection.num_unknown_ids) == (3, 0)


def test_photo_at_its_own_size_with_each_mask(page):
    card(page, "a.png").click()
    viewer, picture = page.get_by_role("dialog"), page.get_by_role("dialog").locator(".picture > *")
    sync_api.expect(picture).to_have_count(2)
    assert viewer.get_by_role("heading").inner_text() == "a.png"
    assert picture.first.get_attribute("src").startswith("file:///")
    assert picture.first.evaluate("image => image.naturalWidth") == SIZE
    masks = viewer.get_by_role("radio")
    shown = masks.evaluate_all("all => all.map(each => each.value)")
    assert shown == ["none", "truth", "IEM", "SegNet", "SegNet, refined"]
    sync_api.expect(picture.last).to_have_attribute("width", str(SIZE))
    before = picture.evaluate_all(PIXELS)
    viewer.get_by_role("radio", name="truth").check()
    sync_api.expect(viewer.get_by_role("img", name="mask: truth")).to_be_visible()
    sync_api.expect(picture.last).to_have_attribute("width", str(SIZE))
    assert picture.evaluate_all(PIXELS) == before  # the truth of a.png is IEM's mask
    viewer.get_by_role("radio", name="none").check()
    sync_api.expect(picture).to_have_count(1)
    viewer.get_by_label("own size").check()
    sync_api.expect(page.locator("#viewer-picture")).to_have_css("width", f"{SIZE}px")
    viewer.get_by_role("button", name="Close").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("b")
    sync_api.expect(viewer.get_by_role("heading")).to_have_text(TWO_LINES)
    page.keyboard.press("Escape")
    sync_api.expect(page.locator(":focus")).to_contain_text("two")
    assert page.locator("#cards [data-mark=bad] .name").all_text_contents() == ["b.png"]


def test_everything_can_be_reached_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = "document.activeElement.name || document.activeElement.id"
        reached.append(page.evaluate(f"{name} || document.activeElement.tagName"))
        # A focused element that looks like any other leaves the reader lost.
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) != "none" or reached[-1] == "BODY"
        if reached[-1] == "SUMMARY":
            page.keyboard.press("Enter")
            assert page.locator("details[open] pre").is_visible()
            break
    expected = {"name", "least", "most", "iou", "which", "order", "cut", "k", "all-bad", "A"}
    assert expected <= set(reached)


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
    card(page, "a.png").focus()
    page.keyboard.press("b")
    found = [axe.Axe().run(page)]
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    card(page, "a.png").click()
    sync_api.expect(page.get_by_role("radio")).to_have_count(5)
    found.append(axe.Axe().run(page))
    context.close()
    for each in found:
        assert not each.violations_count, each.generate_report()
    assert wider <= 0, "the page can be scrolled sideways"


def test_two_runs_side_by_side(browser, runs):  # noqa: F811 - the fixture of the other file
    run, other = runs
    do(job_at(run, decode=DECODE, against=[other.url]), "report")
    for page in read(browser, Path(run.url_of(PAGE)).as_uri()):
        assert names(page) == ["c.png", "b.png", "a.png"]
        assert "alike 50 %" in card(page, "b.png").inner_text()
        of_b = page.locator("#cards li").nth(1)
        masks = of_b.locator(".mask")
        sync_api.expect(masks).to_have_count(2)
        sync_api.expect(masks.last).to_have_attribute("width", str(SIZE))
        own, its = masks.evaluate_all(PIXELS)
        assert own != its
        assert not page.get_by_role("slider").count()
        page.get_by_label("Order").select_option("largest area")
        assert names(page)[-1] == "c.png"
        card(page, "b.png").focus()
        page.keyboard.press("b")
        sync_api.expect(page.locator("#cards [data-mark=bad]")).to_have_count(1)
        card(page, "b.png").click()
        page.get_by_role("radio", name="other run's IEM").check()
        mask = page.get_by_role("dialog").locator(".mask")
        sync_api.expect(mask).to_have_attribute("width", str(SIZE))
        assert mask.evaluate_all(PIXELS) == [its]


def test_without_script_the_sample_is_shown(browser, page_url):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_url)
    assert sorted(page.locator(".sample .name").all_text_contents()) == sorted(RANKED)
    assert "The list needs JavaScript" in page.locator("main").inner_text()
    assert not page.locator("#list").is_visible()
    context.close()
