"""The README: its results are the committed ones, and its links lead somewhere."""

import re

import pytest
import synthetic

from study import paths, readme, report, results

TEXT = (paths.ROOT / "README.md").read_text()


def test_the_results_are_those_of_the_committed_tables():
    if not (paths.reports(readme.PROFILE) / "tables" / "table1_resolution.csv").exists():
        pytest.skip("the cpu profile has no tables in this tree")
    block = TEXT.split(readme.START)[1].split(readme.END)[0].strip()
    assert block == readme.block().strip(), "run `python -m study readme`"


def test_every_row_of_the_results_has_the_paper_s_number_or_why_it_has_none():
    rows = [line for line in TEXT.splitlines() if re.match(r"\| [12]D, L=", line)]
    for row in rows:
        assert re.search(r"\d|memory|not in the paper", row.split("|")[3]), row


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXT))))
def test_a_link_leads_to_a_file(link):
    assert (paths.ROOT / link).exists()


def test_the_results_answer_what_has_been_measured_and_leave_out_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    heads = ("What the gain is made of", "Rivals", "Co-attention", "Cross-validation", "In videos")
    heads += ("Rivals in videos",)
    whole = dict(rivals=True, ablation=True, folds=True, gammas=(0.0,), video=True)
    whole |= dict(video_rivals=True)
    for options, there in ((whole, heads), ({}, heads[:2])):
        profile = synthetic.profile(**options)
        synthetic.write_all(profile)
        report.make_tables(results.load(profile))
        text = readme.block(profile.name)
        assert tuple(head for head in heads if f"**{head}" in text) == there
        assert "nan" not in text and "Not answered yet" not in text
        assert "**Memory.**" not in text  # the ledger has not been made
        assert "**Where landmarks spread.**" not in text  # that needs the true landmarks
