import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import synthetic
import torch

from study import figures, paths, report, results, tables


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def profile(root):
    return write()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The page of such a profile, and its records, tables and figures, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        yield report.make(write()).read_text()


def write():
    """A profile with all records, and a table of rounding made when data was here."""
    profile = synthetic.profile()
    synthetic.write_all(profile)
    (paths.reports("cpu") / "test_looks.csv").write_text(
        "date,commit,run,subset,faces\n"
        "2024-05-01,abc,detector1d_L16-s0,common,20\n"
        "2024-05-02,abc,detector1d_L64-s0,common,20\n"
    )
    points = torch.rand(6, 68, 2, dtype=torch.float64) * 60
    cost = tables.quantization(
        *(points, np.array(["common"] * 6), 64, tables.lengths(profile), "300W")
    )
    tables.save(cost, "quantization", "cpu")
    return profile


def files(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Page(HTMLParser):
    """Collects tags with their attributes, and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def make(profile):
    return Page(report.make(profile).read_text())


def test_a_second_call_changes_no_byte(profile, root):
    report.make(profile)
    first = files(root)
    report.make(profile)
    assert files(root) == first


def test_the_page_needs_nothing_from_elsewhere(text):
    page = Page(text)
    assert page.open == []  # every tag is closed
    linked = [a.get("src", a.get("href", "")) for _, a in page.tags]
    assert all(link.startswith("data:image/") for link in linked if link)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)


def test_every_picture_has_a_text_and_every_table_scrolls_in_its_own_box(text):
    images = [a for tag, a in Page(text).tags if tag == "img"]
    assert len(images) >= 4 and all(len(a["alt"]) > 20 for a in images)
    assert text.count("<table>") == text.count('<div class="scroll"') > 5
    assert '<meta name="viewport" content="width=device-width' in text


def test_the_page_states_numbers_intervals_and_what_they_were_measured_on(text):
    page = Page(text)
    table = tables.read("table1_resolution", "cpu").dropna(subset=["ours_percent"])
    assert len(table) == 4
    for row in table.to_dict("records"):
        shown = f"{row['ours_percent']:.2f} [{row['ours_low']:.2f}, {row['ours_high']:.2f}]"
        assert shown in page.text
    assert "300W, trained on 1,811 of 3,148 images, F=64" in page.text
    assert "images not available" in page.text and "not run in cpu" in page.text
    assert "2 looks so far" in page.text
    assert not re.search(r"\bnan\b|None|<NA>", page.text)


def test_a_profile_of_photographs_has_no_banner(text):
    assert 'class="standin"' not in text


def test_key_numbers_are_those_of_the_tables(text):
    numbers = json.loads((paths.reports("cpu") / "metrics.json").read_text())
    found = results.load(synthetic.profile())
    errors = found.by_seed("detector1d_L192", "argmax", "common")
    assert numbers["flagship_nrmse_percent"]["common"]["argmax"] == pytest.approx(
        100 * errors.mean(), abs=1e-3
    )
    assert numbers["runs_recorded"] == numbers["runs_listed"] == len(found.profile.runs)
    assert numbers["training_seconds"] == 60 * len(found.records)
    assert numbers["looks_at_test_set"] == 2


def test_photographs_and_their_landmarks_stay_off_the_page(profile):
    sheet = figures.contact_sheet(torch.rand(2, 3, 8, 8), torch.rand(2, 68, 2) * 7)
    figures.save(sheet, "contact_sheet", "cpu", faces=True)
    text = report.make(profile).read_text()
    assert 'id="figure-contact_sheet"' not in text and "image/jpeg" not in text


def test_stand_ins_are_named_as_such_and_shown(root):
    profile = synthetic.profile(name="tiny", standin=True)
    synthetic.write_all(profile, standin=True)
    sheet = figures.contact_sheet(torch.rand(2, 3, 8, 8), torch.rand(2, 68, 2) * 7)
    figures.save(sheet, "contact_sheet", "tiny", faces=True)
    text = report.make(profile).read_text()
    for section in re.findall(r"<h2 id=[^>]*>.*?(?=<h2|$)", text, flags=re.S):
        numbers = re.search('id="(answer|table1|resolution|quantization|decoders|tuning)"', section)
        assert not numbers or 'class="standin"' in section
    assert text.index('class="standin"') < text.index("<h2")
    assert 'id="figure-contact_sheet"' in text
    page = Page(text)
    assert "stand-ins in 300W's layout (rendered)" in page.text
    assert "reproduced" not in set(tables.read("resolution_gain", "tiny")["verdict"])


def test_a_profile_without_records_gets_a_page_that_says_so(root):
    page = make(synthetic.profile())
    assert "nothing recorded yet" in page.text and "Not answered yet" in page.text
    assert "training detector1d_L192-s0: no record" in " ".join(page.text.split())
    numbers = json.loads((paths.reports("cpu") / "metrics.json").read_text())
    assert numbers["runs_recorded"] == 0 and numbers["gain_percent_common"] is None


def test_an_unlisted_record_is_named_and_not_read(profile):
    smaller = synthetic.profile(lengths=(16, 192))
    text = make(smaller).text
    assert "the record detector1d_L64-s0" in text
    assert "detector1d_L64" not in set(tables.read("resolution_decoders", "cpu")["name"])


def test_what_needs_data_is_read_back_from_its_table(profile):
    report.make(profile)
    figure = paths.reports("cpu") / "figures" / "quantization_floor.svg"
    first = figure.read_bytes()
    shutil.rmtree(figure.parent)
    assert "rounding down costs" in make(profile).text
    assert figure.read_bytes() == first


def test_text_from_a_record_cannot_become_markup(profile):
    run = profile.run("detector1d_L16-s0")
    synthetic.write(profile, run, commit="<script>alert(1)</script>")
    assert "script" not in {tag for tag, _ in make(profile).tags}


@pytest.mark.parametrize(
    "seconds, text", [(30, "30 s"), (600, "10 minutes"), (7200, "2.0 hours"), (0, "0 s")]
)
def test_durations_are_words(seconds, text):
    assert report.minutes(seconds) == text


def test_strong_words_are_marked_and_all_else_is_escaped():
    assert report.strong("a **b** <c>") == "a <strong>b</strong> &lt;c&gt;"
