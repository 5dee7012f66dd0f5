import html
import re

import pandas as pd
import pytest
import synthetic

from study import paper, paths, report, results
from study.page import ablation_views, views
from study.tables import ablation, attention, rivals, stills

NAMES = {
    *("table3", "rivals", "rivals_gains", "controls", "gain_split", "gain_lengths"),
    *("cross_validation", "memory"),
}


def written(profile, which=lambda run: True, **options):
    """The tables of a profile, of which these runs are recorded, as the page reads them."""
    for run in profile.runs:
        if which(run):
            synthetic.write(profile, run, **options)
    return report.make_tables(results.load(profile))


def whole(**options):
    return synthetic.profile(
        **dict(rivals=True, ablation=True, folds=True, gammas=(0.0,), video=True), **options
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All tables of a profile with all records, for tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", tmp_path_factory.mktemp("study"))
        yield written(whole())


def visible(markup):
    return html.unescape(re.sub("<[^>]*>", "", markup))


def cells(table):
    """The visible text of each row of a table: a list of lists."""
    rows = re.findall("<tr>(.*?)</tr>", table, flags=re.S)
    texts = [re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.S) for row in rows]
    return [[visible(text) for text in row] for row in texts]


def spelt(row, keys):
    mean, low, high = (row[key] for key in keys)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


DECREASE = ("decrease_percent", "low", "high")


# --- all of them -------------------------------------------------------------------------------


def test_every_table_states_its_numbers_with_their_intervals(made):
    shown = ablation_views.shown_tables(made)
    assert set(shown) == NAMES
    common = made["rivals"][made["rivals"]["subset"] == "common"]
    expected = {
        "table3": (made["table3_image_datasets"], ("ours_percent", "ours_low", "ours_high")),
        "rivals": (common, ("percent", "low", "high")),
        "rivals_gains": (made["rivals_gain"], DECREASE),
        "gain_split": (made["gain_split"], ("points", "low", "high")),
        "gain_lengths": (made["gain_lengths"], ("percent", "low", "high")),
    }
    for name, (table, keys) in expected.items():
        there = [cell for row in cells(shown[name]) for cell in row]
        rows = table.dropna(subset=[keys[0]]).to_dict("records")
        assert len(rows) >= 5
        for row in rows:
            assert spelt(row, keys) in there, name
    there = [cell for row in cells(shown["controls"]) for cell in row]
    for key in ("coattention_controls", "coattention_conditions"):
        for row in made[key].dropna(subset=["decrease_percent"]).to_dict("records"):
            assert spelt(row, DECREASE) in there


def test_tables_say_what_their_numbers_were_measured_on(made):
    shown = ablation_views.shown_tables(made)
    for name in ("table3", "rivals", "controls", "gain_split", "gain_lengths"):
        caption = re.search('<p class="caption">(.*?)</p>', shown[name])[1]
        assert "300W, trained on 1,811 of 3,148 images, F=64" in caption, name


@pytest.mark.parametrize("which", ["nothing", "some", "all"])
def test_no_cell_shows_a_missing_number(root, which):
    kept = {
        "nothing": lambda run: False,
        "some": lambda run: run.seed == 0 and run.name.endswith(("L16", "L32", "g00", "rows")),
        "all": lambda run: True,
    }[which]
    made = written(whole(), kept, challenging=6 if which == "all" else 0)
    for name, text in ablation_views.shown_tables(made).items():
        assert not re.search(r"\bnan\b|NaN|None|<NA>|&lt;NA&gt;", text), name
        lengths = {len(row) for row in cells(text)}
        assert len(lengths) <= 1, name


def test_without_any_record_there_are_reasons_or_nothing(root):
    shown = ablation_views.shown_tables(written(whole(), lambda run: False))
    for name in ("controls", "gain_split", "gain_lengths", "cross_validation", "memory"):
        assert shown[name] == ""
    assert shown["rivals"].count("not trained yet (no record)") == 11
    pairs = 3 * len(rivals.PRINTED)  # on three subsets
    assert shown["rivals_gains"].count("not trained yet (no record)") == pairs
    rebuilt = len(rivals.REBUILT) + len(rivals.BEYOND)
    assert shown["table3"].count("not trained yet (no record)") == rebuilt
    assert all("nothing recorded yet" in shown[name] for name in ("table3", "rivals"))


# --- Table 3 -----------------------------------------------------------------------------------


def test_table_3_has_a_row_a_method_with_the_papers_numbers_and_ours_beside(made):
    table = made["table3_image_datasets"]
    view = ablation_views.table3_view(table).set_index("method")
    assert list(view.index) == [*dict.fromkeys(paper.table3()["method"]), *rivals.BEYOND]
    fhr = table[(table["method"] == "FHR") & (table["subset"] == "300W com")].iloc[0]
    assert view.loc["FHR", "com paper"] == "3.04" and view.loc["FHR", "AFLW paper"] == "1.58"
    ours = views.interval(*fhr[["ours_percent", "ours_low", "ours_high"]])
    assert view.loc["FHR", "com ours"] == ours
    assert (view.loc["FHR", "note"], view.loc["FHR", "seeds"]) == ("2D, L/F=0.5, fractional", 2)
    assert stills.ABSENT in view.loc["FHR", "cha ours"] and view.loc["FHR", "why"] == ""
    assert rivals.NOT_REBUILT in view.loc["SAN", "why"] and view.loc["SAN", "com ours"] == ""
    assert view.loc["SAN", "cha ours"] == ""  # said once


def test_every_method_of_table_3_shows_a_number_of_ours_or_why_there_is_none(made):
    view = ablation_views.table3_view(made["table3_image_datasets"])
    for row in view.to_dict("records"):
        assert (row["com ours"] == "") == (row["why"] != ""), row["method"]


def test_table_3_shows_challenging_and_full_faces_where_they_are(root):
    made = written(synthetic.profile(seeds=(0,)), challenging=6)
    view = ablation_views.table3_view(made["table3_image_datasets"]).set_index("method")
    assert all("[" in view.loc["Ours", f"{short} ours"] for short in ("com", "cha", "full"))
    text = ablation_views.shown_tables(made)["table3"]
    header, *rows = cells(text)
    assert header[1:7] == [
        *("com, paper", "com, ours", "cha, paper", "cha, ours", "full, paper", "full, ours")
    ]
    assert header[7] == "AFLW, paper" and "AFLW, ours" not in header
    assert len(rows) == 11 + len(rivals.BEYOND)


# --- rivals, gains and controls ----------------------------------------------------------------


def test_rivals_are_shown_on_common_faces_with_what_they_cost(made):
    header, *rows = cells(ablation_views.shown_tables(made)["rivals"])
    table = made["rivals"]
    assert len(rows) == len(table)
    for cell, row in zip(rows, table.to_dict("records"), strict=True):
        shown = dict(zip(header, cell, strict=True))
        assert (shown["system"], shown["decoder is"]) == (row["system"], row["chosen"])
        if row["model"] == "sdm":  # it takes no steps
            assert shown["MFLOP a face"] == shown["MiB a step"] == ""
        else:
            assert shown["MFLOP a face"] == f"{row['megaflops']:,.0f}"
            assert shown["MiB a step"] == f"{row['step_mib']:,.0f}"
        assert shown["validation, %"] == f"{row['validation_percent']:.2f}"


def test_gains_over_rivals_show_the_papers_and_a_verdict_for_its_pairs_alone(made):
    header, *rows = cells(ablation_views.shown_tables(made)["rivals_gains"])
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    fhr = [row for row in shown if row["comparison"] == rivals.FHR]
    assert [row["the paper's, %"] for row in fhr] == ["4.28", "14.49", "7.65"]
    assert [row["verdict"] for row in fhr] == ["✓ reproduced", "– not run", "– not run"]
    assert fhr[1]["decrease, %"] == stills.ABSENT
    rest = [row for row in shown if row["comparison"] not in rivals.PRINTED]
    assert len(rest) == len(rivals.AGAINST)
    assert all(row["verdict"] == row["the paper's, %"] == "" for row in rest)


def test_controls_name_what_is_compared_poses_too(made):
    rows = [(third, "300W com", 4.0, 3.9, 2.5, -1.0, 6.0, "") for third in attention.THIRDS]
    columns = ["third", "subset", "before_percent", "after_percent", "decrease_percent"]
    poses = pd.DataFrame(rows, columns=[*columns, "low", "high", "reason"])
    poses = poses.assign(seeds=2, faces=7, data="300W, somewhere")
    text = ablation_views.shown_tables({**made, "coattention_poses": poses})["controls"]
    found = [row[:2] for row in cells(text)[1:]]
    assert found == [
        *(["way to join the axes", reading] for reading in attention.READINGS.values()),
        *(["another detector", condition] for condition in ("as usual", "columns=2")),
        *(["by how far the head turns", third] for third in attention.THIRDS),
    ]
    assert "300W, somewhere" in text and "2.50 [-1.00, 6.00]" in visible(text)


# --- what the gain is made of ------------------------------------------------------------------


def test_the_whole_stands_out_from_its_parts(made):
    text = ablation_views.shown_tables(made)["gain_split"]
    assert re.findall("<strong>(.*?)</strong>", text) == [
        *(ablation.IN_ALL, ablation.IN_ALL_CENTRED)
    ]
    names = [row[0] for row in cells(text)[1:]]
    table = made["gain_split"]
    assert names == list(table["part"][table["points"].notna()])


def test_lengths_show_the_width_of_their_targets(made):
    header, *rows = cells(ablation_views.shown_tables(made)["gain_lengths"])
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    wide = [row for row in shown if row["series"] == ablation.IN_BINS and row["L"] == "16"]
    assert [(row["σ, bins"], row["σ, px"], row["F"]) for row in wide] == [
        ("2.24", "8.96", "64")
    ] * 2
    assert [row["decoder"] for row in wide] == ["argmax", "integral"]


# --- cross-validation and memory ---------------------------------------------------------------


def test_every_candidate_shows_its_folds_and_the_chosen_ones_say_so(made):
    header, *rows = cells(ablation_views.shown_tables(made)["cross_validation"])
    scores = made["cross_validation_scores"]
    shown = {(row[0], row[1]): dict(zip(header[2:], row[2:], strict=True)) for row in rows}
    assert list(shown) == [
        *(("γ", "0"), ("γ", "0.4"), ("γ", "0.7"), ("λ", "0"), ("λ", "0.3"), ("λ", "0.7"))
    ]
    there = scores[(scores["weight"] == "gamma") & (scores["value"] == 0.7)]["percent"]
    assert shown["γ", "0.7"] == {
        **{"mean, %": f"{there.mean():.2f}", "lowest fold": f"{there.min():.2f}"},
        **{"highest fold": f"{there.max():.2f}", "folds": "3", "": "", "on": "300W, F=64"},
    }
    assert [key for key, row in shown.items() if row[""] == "chosen"] == [
        ("γ", "0.4"),
        ("λ", "0.3"),
    ]
    assert shown["λ", "0.3"]["on"] == "300W stills in motion, F=64"


def test_folds_of_which_some_are_recorded_are_shown_without_a_choice(root):
    made = written(whole(), lambda run: run.name == "folds_g04" and run.fold < 2)
    (row,) = cells(ablation_views.shown_tables(made)["cross_validation"])[1:]
    assert row[:2] == ["γ", "0.4"] and "2" in row and "chosen" not in row


def test_the_ledger_says_what_fits_the_card(made):
    ledger = pd.DataFrame(
        [
            ("2D, at L x L", 256, 1.0, 30.0, 40.25, 24.0, False, 7),
            ("1D", 768, 3.0, 1.0, 2, 1.5, True, 99),
        ],
        columns=[
            *("system", "length", "length_over_input", "activations_gib", "peak_gib"),
            *("parameters_m", "fits", "largest_batch"),
        ],
    ).assign(card_gib=32, size=256, batch=10, precision="float32")
    text = ablation_views.shown_tables({**made, "memory": ledger})["memory"]
    assert cells(text)[1:] == [
        ["2D, at L x L", "256", "1", "30.00", "40.25", "24.0", "does not fit", "7"],
        ["1D", "768", "3", "1.00", "2.00", "1.5", "fits", "99"],
    ]
    assert "A training step at F=256, batch 10, float32, and a card of 32 GiB" in text
    assert ablation_views.shown_tables({**made, "memory": None})["memory"] == ""
