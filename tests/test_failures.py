import numpy as np
import pandas as pd
import pytest
import synthetic

from study import results
from study.figures import failures as failure_figures
from study.page import failure_views
from study.tables import failures

RUNS = {"d": {"model": "detector1d", "length": 64}}


@pytest.fixture
def found(root):
    """Two seeds of one detector on 20 test faces."""
    profile = synthetic.profile(runs=RUNS, seeds=(0, 1), flagship="d")
    synthetic.write_all(profile)
    return results.load(profile)


@pytest.fixture
def missed(found):
    """By how much landmarks are missed by the first seed, (B, N) percent, as its record says."""
    arrays = results.predictions(results.folder(found.profile, "d-s0"))
    distance = np.linalg.norm(arrays["residual"].astype(float), axis=-1)
    return arrays["id"], 100 * distance / arrays["normalizer"][:, None]


def test_the_worst_faces_are_those_of_the_largest_mean_error_and_come_worst_first(found, missed):
    ids, percent = missed
    order = np.argsort(-percent.mean(axis=1))[: failures.WORST]
    faces = failures.worst(found).drop_duplicates("place")
    assert faces["id"].to_list() == list(ids[order])
    assert faces["nrmse_percent"].to_list() == pytest.approx(percent.mean(axis=1)[order])
    assert faces["place"].to_list() == list(range(1, failures.WORST + 1))


def test_the_worst_faces_say_how_far_each_landmark_is_missed_and_not_where_to(found, missed):
    ids, percent = missed
    table = failures.worst(found, count=1)
    row = percent[list(ids).index(table["id"].iloc[0])]
    assert table["percent"].to_list() == pytest.approx(row) and len(table) == 68
    assert [name for name in table if name in ("x", "y") or "_x" in name or "x_" in name] == []


def test_rows_of_the_worst_are_found_in_a_table_of_another_order(found):
    ids = failures.faces(found, "d-s0")["id"]
    table = pd.DataFrame({"id": [*sorted(ids), "a training face"]})
    rows = failures.rows_of_worst(found, "d-s0", table, count=3)
    assert list(table["id"].iloc[rows]) == list(ids[:3])


def test_areas_have_their_landmarks_mean_and_the_worst_tenth_errs_more(found):
    table = failures.by_area(found).set_index("area")
    assert table.loc[failures.FACE, "landmarks"] == 68 == table["landmarks"].iloc[:-1].sum()
    assert (table["low"] <= table["percent"]).all() and (table["percent"] <= table["high"]).all()
    assert table.loc[failures.FACE, "worst_tenth_percent"] > table.loc[failures.FACE, "percent"]
    assert table["worst_percent"].sum() == pytest.approx(100)
    assert table["seeds"].unique() == [2] and table["faces"].unique() == [20]


def test_the_area_that_errs_most_is_the_one_with_the_largest_mean():
    face = dict(place=1, id="a", subset="common", nrmse_percent=4.0)
    rows = [dict(face, area=area, percent=p) for area, p in
            (("eyes", 1.0), ("eyes", 7.0), ("nose", 5.0), ("nose", 5.0))]
    shown = failure_views.worst_view(pd.DataFrame(rows))
    assert shown[["area", "area_percent"]].values.tolist() == [["nose", 5.0]]


def test_without_a_mean_face_there_is_none(found):
    assert np.isnan(failures.mean_face(None, "300W", 68)).all()
    assert np.isnan(failures.landmarks(found, None)[["x", "y"]]).all(axis=None)


def test_circles_are_as_wide_as_the_error_and_nothing_of_a_face_is_drawn(found):
    shape = np.stack([np.linspace(-50, 50, 68), np.linspace(0, 90, 68)], axis=1)
    table = failures.worst(found, count=2)
    axes = failure_figures.failures_on_the_mean(table, shape)
    for ax, (_, face) in zip(axes.flat, table.groupby("place"), strict=False):
        circles = {tuple(patch.center): patch.radius for patch in ax.patches}
        assert set(circles) == {tuple(point) for point in shape}
        radii = [circles[tuple(shape[n])] for n in face["landmark"]]
        assert radii == pytest.approx(face["percent"].to_list())


def test_without_records_tables_are_empty_and_figures_say_so(root):
    empty = results.load(synthetic.profile(runs=RUNS, flagship="d"))
    assert failures.worst(empty).empty and failures.by_area(empty).empty
    axes = failure_figures.failures_on_the_mean(failures.worst(empty), np.full((68, 2), np.nan))
    assert axes.flat[0].get_title(loc="left") == failure_figures.EMPTY
