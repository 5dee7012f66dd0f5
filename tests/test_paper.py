import pandas as pd
import pytest

from study import paper


def test_the_gains_that_section_5_2_prints_follow_from_table_1():
    ends = (("detector-1d", 64), ("detector-1d", 768))
    printed = {"300W com": 16.85, "300W cha": 14.63, "300W full": 16.13}
    for subset, value in printed.items():
        assert paper.decrease(*ends, subset) == pytest.approx(value, abs=0.01)


def test_every_decrease_among_the_claims_on_table_1_follows_from_it():
    claims = paper.claims().set_index("id")["paper_value"]
    systems = {"300vw-s1": "300VW S1", "300vw-s2": "300VW S2", "300vw-s3": "300VW S3"}
    for short, subset in systems.items():
        ours = paper.decrease(("tracker-1d", 64), ("tracker-1d", 768), subset)
        assert ours == pytest.approx(float(claims[f"resolution-{short}"]), abs=0.04)


def test_table_1_has_a_row_for_each_method_length_and_subset():
    table = paper.table1()
    assert not table.duplicated(["method", "length", "subset"]).any()
    assert table.groupby("method").size().to_dict() == {
        **{"detector-1d": 21, "detector-2d": 9, "tracker-1d": 21, "tracker-2d": 9}
    }
    assert (table["length_over_input"] == table["length"] / paper.SIZE).all()


def test_a_missing_number_of_table_1_has_a_note_and_no_other_row_has():
    table = paper.table1()
    assert (table["nrmse_percent"].isna() == (table["note"] != "")).all()


def test_nrmse_of_an_unknown_row_is_refused_by_name():
    with pytest.raises(KeyError, match="L=65"):
        paper.nrmse("detector-1d", 65, "300W com")


def test_claims_have_distinct_ids_and_spell_out_idem():
    table = paper.claims()
    assert table["id"].is_unique
    assert not table["claim"].str.contains("idem").any()
    named = table.set_index("id")["claim"]
    assert named["resolution-300w-cha"] == named["resolution-300w-com"]
    assert named["quantization-example-three"] == "(142.84, 188.72), F=256, E at L/F=3"


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_the_other_tables_hold_percentages_of_distinct_rows(number):
    table = getattr(paper, f"table{number}")()
    values = table["nrmse_percent"].dropna()
    assert values.between(0, 20).all() and len(values) > 5
    assert not table.duplicated([c for c in table if c != "nrmse_percent"]).any()


def test_the_tables_agree_where_they_print_the_same_result():
    best = paper.table3().set_index(["method", "subset"])["nrmse_percent"]
    for subset in ("300W com", "300W cha", "300W full"):
        assert best["Ours", subset] == paper.nrmse("detector-1d", 768, subset)
    refined = paper.table2().set_index(["subset", "lam"])["nrmse_percent"]
    tracked = paper.table4().set_index(["method", "subset"])["nrmse_percent"]
    for subset in ("300VW S1", "300VW S2", "300VW S3"):
        assert tracked["Ours", subset] == refined[subset, 0.3]
    assert isinstance(paper.table5(), pd.DataFrame)
