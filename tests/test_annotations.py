"""What is said of AFLW's annotations: by hand, and against the crops that detectors see."""

import json

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch
from test_aflw import needs_lists, official

from study import heatmaps, metrics, tables
from study.datasets import aflw
from study.datasets.index import face, table
from study.landmarks import SCHEMES
from study.standin import aflw as standin
from study.tables import annotations

SCHEME = SCHEMES["aflw19"]


def index_of(points, boxes, subsets=None):
    rows = [
        face(
            **dict(id=str(n), split="train", image="i", photograph="i", box=box),
            **dict(subset=subsets[n] if subsets else "AFLW", visible=np.isfinite(p).all(-1)),
            points=p,
        )
        for n, (p, box) in enumerate(zip(points, boxes, strict=True))
    ]
    return table(rows)


def strewn(count=6, seed=0):
    points = np.random.default_rng(seed).uniform(20, 80, (count, 19, 2))
    points[1, :9] = np.nan
    return points


def test_a_crop_is_a_quarter_larger_than_the_box_around_the_same_centre():
    points = np.full((1, 19, 2), 50.0)
    points[0, 1] = 10, 90  # the box's lower left corner
    found, size = annotations.in_crops(index_of(points, [[10, 10, 90, 90]]), size=256)
    # A crop of 100 px of the image from 0 to 100, 2.56 px each; px 0's centre lies half a px in.
    np.testing.assert_allclose(found[0, 0], [127.5, 127.5])
    np.testing.assert_allclose(found[0, 1], [10 * 2.56 - 0.5, 90 * 2.56 - 0.5])
    assert size.tolist() == [pytest.approx(80 * 2.56)]


def test_rounding_is_that_of_eq_5_over_the_visible_points_and_the_box():
    points = strewn()
    index = index_of(points, [[15, 15, 95, 95]] * 6)
    found = annotations.rounding(index, "typed", lengths=(64, 768))
    crop, size = annotations.in_crops(index)
    for row in found.to_dict("records"):
        if row["rule"] == "floor":
            error = heatmaps.quantization_error(crop, 256, row["length"])
            by_hand = np.nanmean(error.numpy(), axis=1) / size.numpy()
            assert row["nrmse_percent"] == pytest.approx(100 * by_hand.mean())
    assert found["faces"].tolist() == [6] * 4 and set(found["data"]) == {"typed"}


def test_rounding_depends_on_l_alone_and_halves_with_a_doubled_l():
    index = index_of(strewn(400, 3), [[10, 10, 90, 90]] * 400)
    at = [
        annotations.rounding(index, "", (64, 128), size).set_index(["rule", "length"])
        for size in (256, 64)
    ]
    nearest = at[0].loc["centre", "nrmse_percent"]
    np.testing.assert_allclose(nearest, at[1].loc["centre", "nrmse_percent"], rtol=1e-9)
    assert nearest[64] / nearest[128] == pytest.approx(2, rel=0.03)
    # The mean distance of a point of a square bin to its centre is 0.3826 sides of it.
    assert nearest[64] == pytest.approx(100 * 0.3826 * annotations.SCALE / 64, rel=0.02)


def test_turn_is_that_of_the_68_points_and_missing_where_a_point_is_hidden():
    points = strewn(4)
    wide = np.zeros((4, 68, 2))
    wide[:, [36, 45, 30]] = points[:, [6, 11, 13]]
    found = annotations.turn(points)
    expected = metrics.turn(torch.from_numpy(wide)).numpy()
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2, 3]], expected[[0, 2, 3]])
    mirrored = (points * [-1, 1])[:, list(SCHEME.mirror)]
    np.testing.assert_allclose(annotations.turn(mirrored)[[0, 2, 3]], -found[[0, 2, 3]])


def test_lopsided_counts_what_is_seen_of_the_image_s_right_less_the_left():
    visible = np.ones((4, 19), dtype=bool)
    visible[1, [0, 1, 2, 6, 7, 8, 12, 15]] = False  # the whole left half
    visible[2, [5, 11, 18, 13]] = False  # two of the right half, and two in the middle
    visible[3] = visible[1][list(SCHEME.mirror)]
    assert annotations.lopsided(visible).tolist() == [0.0, 1.0, -0.25, -1.0]


def test_every_face_is_in_one_row_of_each_table_and_shares_are_by_hand():
    points = strewn(3)
    points[0, [6, 11, 13]] = [[0, 0], [40, 0], [20, 9]]  # straight ahead
    points[2, [6, 11, 13]] = [[0, 0], [40, 0], [34, 9]]  # turned by 14 / 40
    points[2, [18]] = np.nan
    index = index_of(points, [[15, 15, 95, 95]] * 3)
    turns = annotations.by_turn(index).set_index("turn")
    assert turns["faces"].tolist() == [1, 0, 0, 1, 0, 1]
    assert turns.loc["0.3 to 0.4", "visible_percent"] == pytest.approx(100 * 18 / 19)
    assert turns.loc["0.3 to 0.4", "contour"] == 0 and turns.loc["0 to 0.1", "contour"] == 100
    assert turns.loc["0 to 0.1", "all_visible_percent"] == 100
    assert turns.loc["a needed point is hidden", "eyebrows"] == 0
    sides = annotations.by_side(index)
    assert sides["faces"].tolist() == [2, 1, 0]  # the second face: 5 of 8 less 2 of 8
    each = annotations.by_landmark(index)
    assert each["visible_percent"][0] == each["mirrored"][5] == pytest.approx(200 / 3)


@needs_lists
def test_the_official_annotations():
    names, boxes, _, points, sides = official()
    order = sides["train"] + sides["test"]
    subsets = ["train"] * len(sides["train"]) + ["AFLW"] * len(sides["test"])
    index = index_of(points[order], np.array(boxes)[order], subsets)
    assert len(names) == aflw.TRAIN + aflw.TEST == len(index)
    each = annotations.by_landmark(index)
    # Paired landmarks are visible about as often; the nose's tip almost always.
    assert (each["visible_percent"] - each["mirrored"]).abs().max() < 3.6
    assert each["visible_percent"].idxmax() == 13
    assert annotations.by_turn(index)["faces"].sum() == len(index)
    assert annotations.by_side(index)["faces"].sum() == len(index)
    nearest = annotations.rounding(index, "AFLW", (64, 768))
    nearest = nearest[nearest["rule"] == "centre"].set_index(["subset", "length"])
    # As for points that are strewn evenly: they know of no bins.
    for subset in ("AFLW", "train"):
        for length in (64, 768):
            expected = 100 * 0.3826 * annotations.SCALE / length
            value = nearest.loc[(subset, length), "nrmse_percent"]
            assert value == pytest.approx(expected, rel=0.01)


# --- of a profile -------------------------------------------------------------------------------


def write_mat(folder, count=6, train=4):
    """AFLW's annotations of `count` faces, none of whose images are there."""
    folder.mkdir(parents=True)
    points = strewn(count)
    names = [f"0/image{n:05d}.jpg" for n in range(count)]
    boxes = np.tile([10.0, 10, 90, 90], (count, 1))
    visible = np.isfinite(points).all(-1)
    standin.write_mat(folder / aflw.FILE, names, points, visible, boxes, range(count))
    (folder / aflw.SPLIT).write_text(json.dumps({"train": train}))


def test_a_profile_without_aflws_images_still_reads_its_annotations(root):
    write_mat(root / "data" / "AFLW")
    made = annotations.of_profile(synthetic.profile())
    assert list(made) == list(annotations.NAMES)
    assert set(made["aflw_rounding"].groupby("subset")["faces"].first()) == {4, 2}
    assert made["aflw_halves"]["faces"].sum() == made["aflw_visibility"]["faces"].sum() == 6
    assert set(made["aflw_variances"]["real"]) == {"yes"}
    assert all(set(table["data"]) == {"AFLW"} for table in made.values())


def test_without_annotations_the_saved_tables_are_read_back(root):
    profile = synthetic.profile()
    assert annotations.of_profile(profile) == dict.fromkeys(annotations.NAMES)
    write_mat(root / "data" / "AFLW")
    made = annotations.of_profile(profile)
    for name, measured in made.items():
        tables.save(measured, name, profile.name)
    (root / "data" / "AFLW" / aflw.FILE).unlink()
    kept = annotations.of_profile(profile)
    for name, measured in made.items():
        pd.testing.assert_frame_equal(kept[name], tables.read(name, profile.name))
        assert len(kept[name]) == len(measured)
