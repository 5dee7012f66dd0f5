"""The page in a browser, at the widths of a desk and of a phone; skips where there is none."""

import re
import shutil

import pytest
import synthetic
import torch
from playwright.sync_api import sync_playwright

from study import figures, paths, report
from study.page import captions
from study.paths import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1280, 390)  # px
PAPER = 688  # px: A4 within the margins of the print style
# What is wrong with a page that has been laid out: a list of sentences.
FAULTS = """() => {
  const found = [], all = (what) => [...document.querySelectorAll(what)];
  const wide = document.documentElement.scrollWidth;
  if (wide > window.innerWidth) found.push(`it is ${wide} px wide`);
  for (const image of all('img')) {
    if (!(image.getAttribute('alt') || '').trim()) found.push('an image has no alt text');
    if (!image.complete || !image.naturalWidth) found.push(`does not load: ${image.alt}`);
  }
  let last = 0;
  for (const heading of all('h1, h2, h3, h4, h5, h6')) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) found.push(`h${level} after h${last}: ${heading.textContent}`);
    last = level;
  }
  if (all('h1').length !== 1) found.push(`${all('h1').length} h1`);
  const ids = all('[id]').map((element) => element.id);
  for (const id of new Set(ids)) {
    if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`id ${id} twice`);
  }
  for (const link of all('a[href^="#"]')) {
    const id = decodeURIComponent(link.hash.slice(1));
    if (!document.getElementById(id)) found.push(`#${id} leads nowhere`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if binary is None:
        pytest.skip(f"no browser here: {', '.join(BROWSERS)}")
    with sync_playwright() as driver:
        # A container's root has no sandbox; the pages are our own.
        opened = driver.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The page of a profile of stand-ins with pictures of faces, made of invented records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("rendered"))
        profile = synthetic.profile(name="tiny", seeds=(0,), standin=True, video=True)
        synthetic.write_all(profile, standin=True)
        sheet = figures.contact_sheet(torch.rand(6, 3, 8, 8), torch.rand(6, 68, 2) * 7)
        for name in captions.WITH_FACES:
            figures.save(sheet, name, "tiny", faces=True)
        return report.make(profile)


@pytest.fixture(params=["cpu", "demo", "tiny", "rendered"])
def file(request):
    """The page of a profile: as committed, as made here, or made by the test."""
    if request.param == "rendered":
        return request.getfixturevalue("rendered")
    path = ROOT / "reports" / request.param / "index.html"
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is not here: `make repro PROFILE={request.param}`")
    return path


def faults(browser, file, width, media="screen"):
    """All that is wrong with a page at a width in px, console and network included."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
    page, found = context.new_page(), []
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("console", lambda said: found.append(f"console: {said.text}") if bad(said) else None)
    page.on("request", lambda asked: found.append(f"asks for {asked.url}") if out(asked) else None)
    page.emulate_media(media=media)
    page.goto(file.as_uri())
    page.wait_for_load_state("load")
    found += page.evaluate(FAULTS)
    context.close()
    return found


def bad(message):
    return message.type in ("error", "warning")


def out(request):
    """Whether a request leaves: the page itself is a file, and all in it is data."""
    return not request.url.startswith("data:") and request.resource_type != "document"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_has_no_fault_in_a_browser(browser, file, width):
    assert faults(browser, file, width) == []


def test_the_page_fits_on_paper_and_prints(browser, file):
    assert faults(browser, file, PAPER, media="print") == []
    page = browser.new_page()
    page.goto(file.as_uri())
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    page.close()
    assert printed.startswith(b"%PDF-")
    assert 5 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 60


def test_all_that_is_folded_opens_and_still_fits(browser, file):
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate(FAULTS) == []
    page.close()


@pytest.mark.parametrize(
    "body, fault",
    [
        ("<script>nobody()</script>", "error: nobody is not defined"),
        ("<script>console.error('oh')</script>", "console: oh"),
        ('<img alt="a" src="http://localhost:9/x.png">', "asks for http://localhost:9/x.png"),
        ('<img alt="a" src="beside.png">', "does not load: a"),
        ('<div style="width: 2000px">wide</div>', "it is 2000 px wide"),
        ('<img src="data:,">', "an image has no alt text"),
        ("<h3>deep</h3>", "h3 after h1: deep"),
        ('<a href="#gone">gone</a>', "#gone leads nowhere"),
        ('<p id="a"></p><p id="a"></p>', "id a twice"),
        ("<h1>two</h1>", "2 h1"),
    ],
)
def test_a_fault_would_be_found(browser, tmp_path, body, fault):
    file = tmp_path / "bad.html"
    head = '<meta charset="utf-8"><style>body { margin: 0 }</style><link rel="icon" href="data:,">'
    file.write_text(f"<!doctype html>{head}<h1>bad</h1>{body}", encoding="utf-8")
    assert fault in faults(browser, file, 390)
    file.write_text(f"<!doctype html>{head}<h1>good</h1><p>good</p>", encoding="utf-8")
    assert faults(browser, file, 390) == []
