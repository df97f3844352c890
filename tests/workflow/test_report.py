"""The report in a real browser, offline, as a reader would open it."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from support.project import EVIL, Run, missing

pytestmark = pytest.mark.xdist_group("workflow")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# the report's own style sheet builder says that it is not meant for production sites
GENERAL = ("Workflow", "Statistics", "About")
HARMLESS = "cdn.tailwindcss.com should not be used in production"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        missing("no Chromium on this system")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Reader:
    """A page of the browser that notes what goes wrong and what leaves the machine."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_context(
            viewport={"width": 1400, "height": 900}, offline=True
        ).new_page()
        self.problems: list[str] = []
        self.page.set_default_timeout(20_000)
        self.page.on("console", self.note)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url[:100]}"))

    def note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and HARMLESS not in message.text:
            self.problems.append(message.text)

    def open(self, category: str) -> None:
        """Open a category of results, from wherever the page is."""
        if (back := self.page.locator("nav a", has_text="Results")).count():
            back.click()
        self.page.locator("a", has_text=re.compile(f"^{category}$")).click()

    def categories(self) -> list[str]:
        """Name the categories that the front page lists."""
        self.page.reload()
        names = self.page.locator("li a span").filter(has_not_text=re.compile("|".join(GENERAL)))
        names.first.wait_for()
        return names.all_inner_texts()

    def results(self, category: str) -> list[str]:
        """Name the results that a category lists."""
        self.open(category)
        return self.page.locator("td:first-child").all_inner_texts()

    def show(self, category: str, result: str) -> None:
        """Open one result of a category."""
        self.open(category)
        self.page.locator("tr", has=self.page.get_by_text(result, exact=True)).locator("a").first.click()


@pytest.fixture(scope="module", params=["github_2026", "own", "curvature"])
def dataset(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def reader(dataset: str, finished: Run, browser: Browser) -> Iterator[Reader]:
    reader = Reader(browser)
    reader.page.goto((finished.results / dataset / "report.html").as_uri())
    yield reader
    assert reader.problems == []


def test_every_table_and_figure_of_the_study_is_visible(reader: Reader, dataset: str, finished: Run) -> None:
    expected = {
        f"{path.stem.replace('_', ' ')}, {kind}"
        for kind, pattern in (("table", "tables/*.csv"), ("figure", "figures/*.png"))
        for path in (finished.results / dataset).glob(pattern)
    }
    seen = set()
    for category in reader.categories():
        for result in reader.results(category):
            reader.show(category, result)
            if result.endswith("figure"):
                image = reader.page.locator("img").last
                image.wait_for(state="visible")
                assert image.evaluate("image => image.complete && image.naturalWidth") > 500, result
            else:
                table = reader.page.frame_locator("iframe").locator("table")
                table.wait_for(state="visible")
                assert table.bounding_box()["height"] > 50, result
            seen.add(result.replace("_", " "))
    assert seen == expected


@pytest.mark.parametrize("dataset", ["github_2026", "own"], indirect=True)
def test_caption_of_the_records_states_every_limit(reader: Reader, dataset: str) -> None:
    reader.open("Dataset")
    row = reader.page.locator("tr", has=reader.page.get_by_text("records, table", exact=True))
    row.locator("a").last.click()
    reader.page.get_by_text("The fault records").wait_for(state="visible")
    limits = reader.page.locator("li", has_text="All raters are automated annotators")
    assert (limits.count() > 0) == (dataset == "github_2026")


def test_record_text_is_shown_as_text_and_never_run(finished: Run, browser: Browser) -> None:
    reader = Reader(browser)
    reader.page.goto((finished.results / "own" / "tables" / "records.html").as_uri())
    title = reader.page.title()
    assert reader.page.locator("td", has_text="<script>").inner_text() == EVIL
    assert reader.page.locator("td script, td img").count() == 0
    assert title == reader.page.title() != "owned"
    assert reader.problems == []
