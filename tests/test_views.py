import numpy as np
import pandas as pd
import pytest
import synthetic

from study import paths, results
from study.page import views
from study.tables import stills, temporal


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Records of stills in motion, which have no Talking Face, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        profile = synthetic.profile(seeds=(0,), video=True)
        synthetic.write_all(profile)
        yield results.load(profile)


@pytest.mark.parametrize(
    "digits, value, text",
    [(2, 3.14159, "3.14"), (0, 62135, "62,135"), (2, -0.001, "0.00"), (2, -0.01, "-0.01")],
)
def test_numbers_have_as_many_digits_as_asked_and_no_negative_zero(digits, value, text):
    assert views.number(digits)(value) == text


@pytest.mark.parametrize("value", [np.nan, None, pd.NA])
def test_nothing_is_shown_as_nothing(value):
    assert views.number(2)(value) == views.general(value) == views.interval(value, 1, 2) == ""


def test_a_number_without_an_interval_stands_alone():
    assert views.interval(3.0, np.nan, np.nan) == "3.00"
    assert views.interval(3.0, 2.5, 3.5) == "3.00 <small>[2.50, 3.50]</small>"


def test_cells_are_escaped_and_of_their_kind():
    table = pd.DataFrame({"a": ["<b>", "x" * 45], "n": [1.5, np.nan]})
    html = views.html_table(table, {"a": ("A & B", str), "n": ("n", views.number(1))}, "two <rows>")
    assert "&lt;b&gt;" in html and "<b>" not in html and "A &amp; B" in html
    assert 'aria-label="two &lt;rows&gt;"' in html
    assert html.count("class=n") == 2 and html.count("class=wrap") == 1


def test_table_1_has_a_half_of_detectors_and_one_of_trackers(found):
    table = stills.table1(found, temporal.table1_row)
    first = views.table1_view(table, stills.METHODS)
    other = views.table1_view(table, temporal.METHODS)
    assert set(first["method"]) == {"detector-1d", "detector-2d"}
    assert list(other.columns[-6:]) == [f"S{n} {w}" for n in (1, 2, 3) for w in ("paper", "ours")]
    row = other[(other["method"] == "tracker-1d") & (other["share"] == 3)].iloc[0]
    ours = table[(table["subset"] == "300VW S2") & (table["length"] == 768)].iloc[0]
    assert row["S2 paper"] == "3.17" and row["ours_L"] == 192
    assert row["S2 ours"] == views.interval(*ours[["ours_percent", "ours_low", "ours_high"]])
    rest = other[(other["method"] == "tracker-2d") & (other["share"] == 1)].iloc[0]
    assert "out of memory" in rest["S1 paper"] and "not run in cpu" in rest["S1 ours"]


def test_table_2_has_a_row_a_lambda_and_reading_without_subsets_that_nobody_measured(found):
    view = views.table2_view(temporal.table2(found))
    assert list(view["lam"]) == [0, 0, 0.3]
    assert list(view["reading"]) == ["training and test", "test alone", "training and test"]
    assert "TF paper" in view and "TF ours" not in view
    assert list(view["S3 paper"]) == ["4.42", "4.42", "4.12"]
    over_videos = views.table2_view(temporal.table2(found), "ours_video")
    assert list(over_videos["S1 ours"]) != list(view["S1 ours"])


def test_table_2_without_any_record_gives_the_reason_in_every_cell_of_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    view = views.table2_view(temporal.table2(results.load(synthetic.profile())))
    for subset in ("S1", "S2", "S3", "TF"):
        assert all("not run in cpu" in cell for cell in view[f"{subset} ours"])


def test_motion_is_shown_subset_by_subset(found):
    view = views.motion_view(temporal.motion(found))
    assert list(dict.fromkeys(view["subset"])) == ["S1", "S2", "S3"]
    assert view["subset"].is_monotonic_increasing and view["system"].iloc[0] == "1D detector"
    assert all("[" in cell for cell in view["shown"])


def test_gains_stand_in_one_row_with_those_on_occluded_landmarks(found):
    table = temporal.gains(found)
    view = views.temporal_gains_view(table)
    assert len(view) == 7 * 3  # comparisons on S1 to S3
    row = view[(view["comparison"] == "detector to tracker") & (view["subset"] == "300VW S3")]
    where = (table["comparison"] == "detector to tracker") & (table["subset"] == "300VW S3")
    hidden = table[where & (table["landmarks"] == "occluded")].iloc[0]
    cells = hidden[["decrease_percent", "low", "high"]]
    assert row["occluded"].iloc[0] == views.interval(*cells) != row["all"].iloc[0]
    easy = view[(view["comparison"] == "detector to tracker") & (view["subset"] == "300VW S1")]
    assert easy["occluded"].iloc[0] == ""
