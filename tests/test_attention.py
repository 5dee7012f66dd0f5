import numpy as np
import pytest
import synthetic

from study import attention, claims, heatmaps, paths, results, tables

GAMMAS = (0.0, 0.7)
NRMSE = {0.0: 0.06, 0.4: 0.05, 0.7: 0.045}  # on test faces
VALIDATION = {0.0: 0.06, 0.4: 0.05, 0.7: 0.055}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def recorded(validation=None, **options):
    """Results of a profile with detectors at γ 0, 0.4 and 0.7 that have the errors above."""
    standin = options.get("standin", False)
    profile = synthetic.profile(gammas=GAMMAS, **options)
    for run in attention.trained(profile):
        score = (validation or VALIDATION)[run.config.gamma]
        synthetic.write(
            profile,
            run,
            error=NRMSE[run.config.gamma],
            standin=standin,
            validation=dict.fromkeys(heatmaps.DECODERS, score),
        )
    return results.load(profile)


def test_the_lines_are_the_group_and_the_flagship_by_rising_gamma():
    lines = attention.lines(synthetic.profile(gammas=(0.7, 0.0)))
    assert {gamma: run.id for gamma, run in lines.items()} == {
        0.0: "detector1d_L192_g00-s0",
        0.4: "detector1d_L192-s0",
        0.7: "detector1d_L192_g07-s0",
    }
    assert list(lines) == sorted(lines)


def test_every_seed_of_every_gamma_is_trained():
    runs = attention.trained(synthetic.profile(gammas=GAMMAS, seeds=(0, 1)))
    assert len(runs) == 3 * 2 and {run.seed for run in runs} == {0, 1}


def test_the_papers_values_without_co_attention_follow_from_its_percentages():
    """Derived by hand from Tables 3 to 5 and Section 5.3."""
    table = attention.published().set_index("subset")["without_percent"]
    expected = {"300W com": 3.05, "300W cha": 5.69, "300W full": 3.57, "AFLW": 1.42}
    expected |= {"300VW S1": 3.29, "300VW S2": 3.40, "300VW S3": 4.48, "TF": 2.07}
    assert table.round(2).to_dict() == expected


def test_the_curve_is_the_mean_of_the_records_and_its_decrease_from_zero(root):
    found = recorded()
    table = attention.curve(found).set_index(["subset", "gamma"])
    for gamma, name in ((0.0, "detector1d_L192_g00"), (0.4, "detector1d_L192")):
        errors = found.by_seed(name, "argmax", "common")
        assert table.loc[("300W com", gamma), "percent"] == pytest.approx(100 * errors.mean())
    row = table.loc[("300W com", 0.4)]
    ratio = row["percent"] / table.loc[("300W com", 0.0), "percent"]
    assert row["decrease_percent"] == pytest.approx(100 * (1 - ratio))
    assert row["low"] < row["decrease_percent"] < row["high"]
    assert np.isnan(table.loc[("300W com", 0.0), "decrease_percent"])
    assert set(table.loc["300W cha", "reason"]) == {tables.ABSENT}


def test_gains_are_judged_against_the_papers_by_argmax_alone(root):
    table = attention.gains(recorded())
    row = claims.row_of(table, "γ 0 to 0.4", "300W com")
    assert row["paper_percent"] == pytest.approx(4.59) and row["verdict"] == "reproduced"
    assert row["decrease_percent"] == pytest.approx(100 / 6, abs=3)
    best = claims.row_of(table, "γ 0 to 0.4", "300W com", tables.BEST)
    assert np.isnan(best["paper_percent"]) and best["verdict"] == ""
    away = claims.row_of(table, "γ 0 to 0.4", "AFLW")
    assert (away["verdict"], away["reason"]) == ("not run", claims.NOT_YET)


def test_stand_ins_decide_nothing_about_co_attention(root):
    row = claims.row_of(attention.gains(recorded(standin=True)), "γ 0 to 0.4", "300W com")
    assert row["verdict"] == "inconclusive"


def test_gamma_is_chosen_on_validation_and_never_on_test(root):
    assert attention.chosen(recorded()) is None  # 0.4, though 0.7 is better on test faces
    found = recorded({0.0: 0.06, 0.4: 0.05, 0.7: 0.04})
    assert attention.chosen(found) == 0.7
    assert "γ 0 to 0.7 (best on validation)" in set(attention.gains(found)["comparison"])
    assert attention.chosen(recorded({0.0: 0.04, 0.4: 0.05, 0.7: 0.06})) is None


def test_claims_take_the_gains_of_co_attention(root):
    found = recorded()
    table = claims.table(
        tables.gains(found), tables.worked_example(), attention=attention.gains(found)
    ).set_index("id")
    assert table.loc["gamma-300w-com", "verdict"] == "reproduced"
    assert table.loc["gamma-300w-cha", "reason"] == tables.ABSENT
    assert table.loc["gamma-aflw", "reason"] == claims.NOT_YET
    without = claims.table(tables.gains(found), tables.worked_example()).set_index("id")
    assert without.loc["gamma-300w-com", "reason"] == claims.NOT_YET


def test_the_answer_says_what_gamma_gives_and_how_far_the_scores_lie_apart(root):
    found = recorded({0.0: 0.06, 0.4: 0.05, 0.7: 0.04})
    gains, curve = attention.gains(found), attention.curve(found)
    text = claims.coattention(gains, curve)
    row = claims.row_of(gains, "γ 0 to 0.4", "300W com")
    assert f"{row['decrease_percent']:.1f} % lower on 300W com ({row['low']:.2f} to" in text
    assert "the paper: 4.59 %): **reproduced**" in text and "γ 0 to 0.7 (best on" in text
    assert "Over 3 γ from 0 to 0.7, NRMSE on 300W com lies between" in text
    assert "Measured with 2 seeds: 300W, trained on" in text and "nan" not in text


def test_without_a_record_the_answer_says_why(root):
    found = results.load(synthetic.profile(gammas=GAMMAS))
    text = claims.coattention(attention.gains(found), attention.curve(found))
    assert text == "Not answered yet: not trained yet (no record)."


def test_a_profile_without_any_other_gamma_says_so(root):
    profile = synthetic.profile()
    synthetic.write_all(profile)
    found = results.load(profile)
    assert set(attention.gains(found)["reason"]) == {"not run in cpu", claims.NOT_YET}
    table = claims.table(
        tables.gains(found), tables.worked_example(), attention=attention.gains(found)
    ).set_index("id")
    assert table.loc["gamma-300w-com", "reason"] == "not run in cpu"
