"""README and docs: what is made in them is made of the committed tables and of the code."""

import math
import re

import pandas as pd
import pytest
import synthetic

from study import claims, paths, report, results, tables
from study.docs import differences, readme
from study.docs.differences import change

PAGES = {file.relative_to(paths.ROOT).as_posix(): file.read_text() for file in readme.files()}
TABLES = paths.reports(readme.PROFILE) / "tables"
needs_tables = pytest.mark.skipif(
    not (TABLES / "table1_resolution.csv").exists(), reason="the cpu profile has no tables here"
)


@needs_tables
@pytest.mark.parametrize("page", PAGES)
def test_what_is_made_in_a_page_is_that_of_the_committed_tables_and_code(page):
    assert readme.filled(PAGES[page], page) == PAGES[page], "run `python -m study readme`"


@pytest.mark.parametrize("page", PAGES)
def test_every_mark_is_closed_before_the_next_is_opened(page):
    marks = re.findall(r"<!-- (made|end)\b", PAGES[page])
    found = list(readme.MADE.finditer(PAGES[page]))
    assert marks == ["made", "end"] * len(found)


def test_everything_that_is_made_stands_in_some_page():
    used = [match[2] for text in PAGES.values() for match in readme.MADE.finditer(text)]
    assert sorted(used) == sorted(readme.MAKERS)


def test_a_mark_that_nothing_makes_is_refused_by_name():
    with pytest.raises(ValueError, match="README.md: nothing makes 'luck'; there are results"):
        readme.filled("<!-- made: luck -->7<!-- end -->", "README.md")


def test_only_what_stands_between_marks_is_written(monkeypatch):
    monkeypatch.setitem(readme.MAKERS, "head", lambda: "new")
    text = "a <!-- made: head -->old<!-- end --> b"
    assert readme.filled(text) == "a <!-- made: head -->new<!-- end --> b"


# --- results at a glance ----------------------------------------------------------------------


@needs_tables
def test_the_results_are_short():
    lines = readme.results().splitlines()
    assert 3 <= sum(line.startswith("- ") for line in lines) <= 5
    assert sum(line.startswith("![") for line in lines) == 1
    assert len(readme.HEADLINES) <= 10
    assert sum(line.startswith("|") for line in lines) <= 10 + 4 + 2 * 2
    assert len(PAGES["README.md"].splitlines()) <= 170


@needs_tables
def test_every_claim_shown_has_its_own_verdict_and_the_paper_s_number():
    table = tables.read("claims", readme.PROFILE).set_index("id")
    rows = list(readme.claimed(table.reset_index()))[2:]
    for id, row in zip(readme.HEADLINES, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert cells[3] == table.loc[id, "verdict"]
        assert cells[1].split()[0] == f"{float(table.loc[id, 'paper_value']):g}"


@needs_tables
def test_the_verdicts_counted_are_all_claims():
    table = tables.read("claims", readme.PROFILE)
    first, *counts = map(int, re.findall(r"\d+", readme.counted(table)))
    assert first == sum(counts) == len(table)


@pytest.mark.parametrize(
    "options, there",
    [
        (dict(gammas=(0.0,), video=True), ["Longer", "2D at", "Co-attention", "Temporal"]),
        ({}, ["Longer", "2D at"]),
    ],
)
def test_the_answer_says_what_has_been_measured_and_leaves_out_the_rest(
    tmp_path, monkeypatch, options, there
):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    profile = synthetic.profile(**options)
    synthetic.write_all(profile)
    report.make_tables(results.load(profile))
    text = readme.results(profile.name)
    heads = [line[4:] for line in text.splitlines() if line.startswith("- **")]
    heads = [head for head in heads if "of that gain is" not in head]
    assert len(heads) == len(there)
    assert all(head.startswith(start) for head, start in zip(heads, there, strict=True))
    assert "nan" not in text


def test_nothing_measured_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    profile = synthetic.profile()
    report.make_tables(results.load(profile))
    text = readme.results(profile.name)
    assert "has not been measured yet" in text and "nan" not in text
    assert text.count(f"| {claims.NOT_RUN} |") == len(readme.HEADLINES)


@pytest.mark.parametrize("left, share", [(1.0, "Most"), (1.5, "A part")])
def test_most_of_the_gain_is_in_the_reading_where_less_than_half_of_its_points_are_left(
    left, share, monkeypatch
):
    shared = {"comparison": "1D, L/F 0.25 to 3", "subset": "300W com", "verdict": "reproduced"}
    spans = [("argmax", 6.0, 3.5), ("best on validation", 3.0 + left, 3.0)]
    gains = pd.DataFrame(
        {**shared, "decoder": name, "before_percent": before, "after_percent": after}
        | {"decrease_percent": 100 * (1 - after / before), "low": 1.0, "high": 2.0}
        for name, before, after in spans
    )
    gains["paper_percent"] = math.nan
    made = {"resolution_gain": gains}
    monkeypatch.setattr(tables, "read", lambda name, _: made.get(name))
    text = readme.answer("cpu")[1]
    assert text.startswith(f"**{share} of that gain") and f"{left:.2f} of the 2.50 points" in text


# --- sentences --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row, expected",
    [
        (dict(decrease_percent=2.0, low=-1.0, high=5.0), "2.0 % lower (-1.0 to 5.0 %)"),
        (dict(decrease_percent=-2.0, low=-5.0, high=1.0), "2.0 % higher (-1.0 to 5.0 %)"),
        (dict(decrease_percent=0.01, low=-0.01, high=0.4), "0.0 % lower (0.0 to 0.4 %)"),
        (dict(decrease_percent=3.0, low=math.nan, high=math.nan), "3.0 % lower"),
        (
            dict(decrease_percent=-3.0, low=-4.0, high=-2.0, paper_percent=7.0),
            "3.0 % higher (2.0 to 4.0 %; the paper: 7.0 % lower)",
        ),
    ],
)
def test_a_change_is_told_in_its_own_direction(row, expected):
    assert change(row) == expected


def test_a_missing_table_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="rounding: not in the tables of cpu"):
        differences.text("rounding", "cpu")


@needs_tables
@pytest.mark.parametrize("name", differences.MEASURED)
def test_a_measured_sentence_has_a_number_and_no_gap(name):
    text = differences.text(name, readme.PROFILE)
    assert re.search(r"\d", text) and "nan" not in text and "|" not in text
