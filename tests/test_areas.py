import dataclasses

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch
from hypothesis import given, settings, strategies as st
from real_faces import REAL, needs_real_faces

from study import claims, config, datasets, figures, tables
from study.answers import areas as area_answers
from study.datasets import crops
from study.figures import areas as area_figures
from study.landmarks import SCHEMES, Scheme
from study.tables import areas, quantized

TF7, IBUG68, AFLW19 = (SCHEMES[name] for name in ("tf7", "ibug68", "aflw19"))
# Two landmarks an area, the eyes' corners first.
SMALL = Scheme(
    count=6,
    mirror=(1, 0, 3, 2, 5, 4),
    areas={"eyes": (0, 1), "contour": (2, 3), "mouth": (4, 5)},
    names=tuple("abcdef"),
    eye_corners=(0, 1),
)
FACE = np.array([[30.0, 40], [70, 40], [0, 50], [100, 50], [40, 100], [60, 100]])  # px


def shapes(points, scheme=SMALL, group=None, **options):
    points = np.asarray(points, dtype=float)
    group = np.arange(len(points)).astype(str) if group is None else np.asarray(group)
    return areas.Shapes(points, group, scheme, options.pop("label", "invented"), **options)


def faces(count, seed=0, scheme=IBUG68, sizes=(80, 120)):
    """Faces of as many random landmarks around one shape, of other sizes and places."""
    rng = np.random.default_rng(seed)
    mean = np.random.default_rng(1).uniform(0, 1, (scheme.count, 2))
    points = mean + 0.05 * rng.normal(size=(count, scheme.count, 2))
    return rng.uniform(*sizes, (count, 1, 1)) * points + rng.uniform(0, 500, (count, 1, 2))


# --- coordinates -------------------------------------------------------------------------------


def test_the_crop_is_that_of_the_datasets():
    points = faces(5)
    index = pd.DataFrame({"box": [np.r_[p.min(0) - 3, p.max(0) + 7] for p in points]})
    box = np.stack(list(index["box"]))
    for scale in (1.25, 1.6):
        found = areas.in_crop(shapes(points, IBUG68, box=box, scale=scale))
        rows = np.stack([crops.square(one, scale, 256) for one in box])
        np.testing.assert_allclose(found, crops.to_crop(points, rows), atol=1e-9)


def test_the_crop_spans_half_a_pixel_more_on_either_side():
    square = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 5], [5, 5.0]])
    found = areas.in_crop(shapes([square], scale=1.0))[0]
    assert found.min() == pytest.approx(-0.5) and found.max() == pytest.approx(255.5)
    np.testing.assert_allclose(found[4], [127.5, 127.5])


def test_without_a_box_it_is_that_of_the_landmarks_that_are_shown():
    points = np.stack([FACE, FACE])
    points[0, 3] = np.nan
    given = shapes(points, box=np.array([[0, 40, 70, 100], [0, 40, 100, 100.0]]))
    np.testing.assert_allclose(areas.in_crop(shapes(points)), areas.in_crop(given))


def test_by_the_eyes_their_corners_stand_still_half_their_distance_from_the_middle():
    found = areas.by_eyes(shapes([FACE, 3 * FACE - 7]))
    np.testing.assert_allclose(found[:, :2], [[[-50, 0], [50, 0]]] * 2, atol=1e-12)
    np.testing.assert_allclose(found[0], found[1])


def test_a_scheme_without_a_normaliser_has_eye_corners_all_the_same():
    points = faces(2, scheme=AFLW19)
    found = areas.by_eyes(shapes(points, AFLW19))
    left, right = AFLW19.names.index(areas.CORNERS[0]), AFLW19.names.index(areas.CORNERS[1])
    assert (left, right) == (6, 11)
    np.testing.assert_allclose(np.linalg.norm(found[:, left] - found[:, right], axis=-1), 100)
    points[0, left] = np.nan
    found = areas.by_eyes(shapes(points, AFLW19))
    assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(-np.pi, np.pi),
    st.floats(0.2, 5),
    st.floats(-300, 300),
)
def test_similar_faces_align_to_one_shape(seed, angle, scale, shift):
    rng = np.random.default_rng(seed)
    face = rng.uniform(0, 100, (12, 2))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    found = areas.align(np.stack([face, scale * face @ turn + shift]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6 * (1 + scale))


def test_alignment_turns_faces_no_further_than_onto_their_mean():
    points = faces(40, scheme=SMALL)
    aligned = areas.align(points)
    centred = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(-1).mean(-1)).mean()
    mean = aligned.mean(axis=0)
    assert np.sqrt((mean**2).sum(-1).mean()) == pytest.approx(size, rel=0.03)
    # No face is closer to the mean shape after a further turn, or at another size.
    for angle, scale in ((0.01, 1), (-0.01, 1), (0, 1.01), (0, 0.99)):
        turn = scale * np.exp(1j * angle)
        z, m = (v[..., 0] + 1j * v[..., 1] for v in (aligned, mean * size / _size(mean)))
        assert (abs(z - m) ** 2).sum() < (abs(z * turn - m) ** 2).sum()


def _size(points):
    return np.sqrt((points**2).sum(-1).mean())


def test_a_face_that_hides_a_landmark_is_not_aligned():
    points = faces(4, scheme=SMALL)
    points[2, 5] = np.nan
    found = areas.coordinates(shapes(points), areas.ALIGNED)
    assert np.isnan(found[2]).all()
    whole = areas.in_crop(shapes(points))[[0, 1, 3]]
    np.testing.assert_allclose(found[[0, 1, 3]], areas.align(whole))


# --- variances ---------------------------------------------------------------------------------


def test_variances_by_hand():
    """Two faces in px of the image: the second has its contour 4 px to the right, mouth 6 lower."""
    other = FACE.copy()
    other[2:4, 0] += 4
    other[4, 1] += 6
    found = areas.spread(shapes([FACE, other]), areas.IMAGE)
    assert found.faces == found.groups == 2
    np.testing.assert_allclose(found.areas, [[0, 0], [4, 0], [0, 4.5]])  # (4/2)², (9 + 0) / 2
    np.testing.assert_allclose(found.mean[4], [40, 103])
    np.testing.assert_allclose(found.variance[4], [0, 9])


def test_variances_are_those_of_numpy_and_do_not_cancel_far_from_0():
    points = faces(50) + 1e6
    found = areas.spread(shapes(points, IBUG68), areas.IMAGE)
    np.testing.assert_allclose(found.variance, points.var(axis=0), rtol=1e-9)
    index = list(IBUG68.areas["nose"])
    np.testing.assert_allclose(found.areas[2], points[:, index].var(axis=0).mean(axis=0), rtol=1e-9)


def test_a_landmark_counts_over_the_faces_that_show_it():
    points = faces(30, scheme=SMALL)
    points[:7, 3] = np.nan
    points[:, 5] = np.nan  # seen in no face: its area is that of its other landmark
    found = areas.spread(shapes(points), areas.IMAGE)
    np.testing.assert_allclose(found.variance[3], points[7:, 3].var(axis=0))
    assert np.isnan(found.variance[5]).all()
    np.testing.assert_allclose(found.areas[2], points[:, 4].var(axis=0))
    assert np.isfinite(found.drawn).all()


def test_draws_are_over_photographs_and_as_wide_as_theory_says():
    """Of B independent normal draws the variance of the variance is 2 σ⁴ / B."""
    rng = np.random.default_rng(0)
    points = np.repeat(10 * rng.normal(size=(400, 1, 2)), 6, axis=1)
    alone = areas.spread(shapes(points), areas.IMAGE)
    wanted = 100 * np.sqrt(2 / 400)
    assert alone.drawn.std(axis=0) == pytest.approx(wanted, rel=0.15)
    twice = shapes(np.repeat(points, 4, axis=0), group=np.repeat(np.arange(400), 4))
    same = areas.spread(twice, areas.IMAGE)
    assert (same.faces, same.groups) == (1600, 400)
    np.testing.assert_allclose(same.areas, alone.areas)
    assert same.drawn.std(axis=0) == pytest.approx(wanted, rel=0.15)  # copies are no new faces


def test_groups_may_stand_in_any_order():
    points, group = faces(12, scheme=SMALL), np.array(list("abcabcabcabc"))
    order = np.random.default_rng(3).permutation(12)
    first = areas.spread(shapes(points, group=group), areas.CROP)
    other = areas.spread(shapes(points[order], group=group[order]), areas.CROP)
    np.testing.assert_allclose(first.drawn, other.drawn)


def test_shapes_must_fit_their_scheme():
    with pytest.raises(ValueError, match="do not fit a scheme of 6 landmarks"):
        shapes(np.zeros((2, 7, 2)))
    with pytest.raises(ValueError, match="3 groups"):
        shapes(np.zeros((2, 6, 2)), group=["a", "b", "c"])


# --- tables ------------------------------------------------------------------------------------


def test_the_table_has_a_row_an_area_axis_and_reading(root):
    table = areas.variances([shapes(faces(20), IBUG68), shapes(faces(9, scheme=TF7), TF7)])
    assert len(table) == len(areas.READINGS) * 2 * (5 + 3)
    assert (table["low"] <= table["variance"]).mean() > 0.95
    assert set(table["landmarks"][table["area"] == "contour"]) == {17}
    saved = tables.save(table, "variances", "cpu")
    assert all(list(saved[key]) == list(table[key]) for key in ("area", "faces", "unit", "real"))


def test_one_video_has_no_interval():
    one = shapes(faces(20), IBUG68, group=["a"] * 20)
    table = areas.variances([one])
    assert table["variance"].notna().all() and table["low"].isna().all()
    largest = areas.contour_largest([one])
    assert largest["low"].isna().all() and set(largest["verdict"]) == {"inconclusive"}


def stretched(contour, rest, count=60, seed=0):
    """Faces in which the contour's x spreads by so many px and the mouth's by so many."""
    rng = np.random.default_rng(seed)
    points = np.repeat(FACE[None], count, axis=0) + 0.01 * rng.normal(size=(count, 6, 2))
    points[:, 2:4, 0] += contour * rng.normal(size=(count, 1))
    points[:, 4:, 0] += rest * rng.normal(size=(count, 1))
    return points


@pytest.mark.parametrize(
    "contour, rest, real, verdict",
    [
        (8, 2, True, "reproduced"),
        (2, 8, True, "contradicted"),
        (5, 5, True, "inconclusive"),
        (8, 2, False, "inconclusive"),
    ],
)
def test_the_contour_is_held_against_the_largest_other_area(contour, rest, real, verdict):
    table = areas.contour_largest([shapes(stretched(contour, rest, seed=1), real=real)])
    row = table[(table["coordinates"] == areas.IMAGE) & (table["axis"] == "x")].iloc[0]
    assert row["next_area"] == "mouth" and row["verdict"] == verdict
    assert row["more_percent"] == pytest.approx(100 * (row["contour"] / row["next"] - 1))
    assert row["low"] < row["more_percent"] < row["high"]


def test_a_crop_around_the_contour_holds_it_still():
    """Heads that turn: the inner face moves within an outline that does not."""
    points = np.repeat(FACE[None], 50, axis=0)
    points[:, [0, 1, 4, 5], 0] += np.random.default_rng(0).uniform(-15, 15, (50, 1))
    table = areas.contour_largest([shapes(points)])
    crop = table[(table["coordinates"] == areas.CROP) & (table["axis"] == "x")].iloc[0]
    eyes = table[(table["coordinates"] == areas.EYES) & (table["axis"] == "x")].iloc[0]
    assert crop["contour"] == pytest.approx(0) and crop["verdict"] == "contradicted"
    assert eyes["verdict"] == "reproduced"


def test_a_scheme_without_a_contour_is_left_out():
    assert areas.contour_largest([shapes(faces(9, scheme=TF7), TF7)]).empty


def test_landmarks_have_their_mean_and_deviation_where_faces_are_many():
    points = faces(40)
    table = areas.landmarks([shapes(points, IBUG68), shapes(points[:9], IBUG68, subset="few")])
    assert set(table["subset"]) == {areas.WHOLE} and len(table) == 68 * len(areas.READINGS)
    row = table[table["coordinates"].eq(areas.IMAGE) & table["landmark"].eq(30)].iloc[0]
    assert row["area"] == "nose" and row["sd_y"] == pytest.approx(points[:, 30, 1].std())
    rendered = areas.landmarks([shapes(points[:3], IBUG68, real=False)])
    assert len(rendered) == 68 * len(areas.READINGS)


# --- a profile's faces -------------------------------------------------------------------------


def index_of(count, **columns):
    points = faces(count)
    rows = {
        "points": list(points),
        "visible": [np.ones(68, bool)] * count,
        "box": [np.r_[p.min(0), p.max(0)] for p in points],
        "photograph": [f"p{n}" for n in range(count)],
    }
    return pd.DataFrame({**rows, **columns})


def test_stills_come_whole_and_by_subset():
    index = index_of(6, subset=["train"] * 4 + ["common"] * 2)
    index["visible"] = [np.arange(68) > 0, *[np.ones(68, bool)] * 5]
    listed = areas.of_stills(synthetic.profile(), index)
    assert [(one.subset, len(one.points)) for one in listed] == [
        *((areas.WHOLE, 6), ("train", 4), ("common", 2))
    ]
    assert np.isnan(listed[0].points[0, 0]).all() and np.isfinite(listed[0].points[0, 1:]).all()
    assert all(one.real and one.label == "300W" and one.scale == 1.25 for one in listed)
    rendered = areas.of_stills(synthetic.profile(name="tiny", standin=True), index)
    assert not any(one.real for one in rendered)


def test_a_profile_has_stills_videos_and_aflw_where_it_has_it():
    profile = synthetic.profile(name="tiny", seeds=(0,), standin=True, video=True)
    index = index_of(3, subset=["S1"] * 3, split=["test"] * 3, video=["v"] * 3, frame=[1, 2, 3])
    videos = {"300VW": (index, None), "TF": (index.iloc[:0], None)}
    listed = areas.of_profile(profile, (index, None), videos)
    assert [one.subset for one in listed] == [areas.WHOLE, "300VW all"]
    points = [p[:19] for p in faces(2)]
    shown = [np.ones(19, bool), np.arange(19) != 18]
    other = index_of(2, subset=["train", "AFLW"])
    other["points"], other["visible"] = points, shown
    profile = dataclasses.replace(profile, aflw=config.Data("AFLW", "data/AFLW", "data/AFLW"))
    listed = areas.of_profile(profile, (index, None), videos, (other, None))
    assert [one.subset for one in listed[2:]] == [areas.WHOLE, "train", "AFLW"]
    aflw = listed[2]
    assert (aflw.label, aflw.scheme, aflw.real) == ("AFLW", AFLW19, True)
    assert np.isnan(aflw.points[1, 18]).all() and np.isfinite(aflw.points[0]).all()
    table = areas.contour_largest([aflw])
    assert set(table["landmarks"]) == {1} and len(table) == 2 * len(areas.READINGS)


@pytest.mark.parametrize("kind, kept", [("camera", 2), (True, 3)])
def test_of_videos_the_test_frames_count_but_for_broken_ones(monkeypatch, kind, kept):
    monkeypatch.setattr("study.tables.temporal.w300vw.BROKEN", {"v": (2,)})
    columns = dict(split=["train", "test", "test", "test"], video=["u", "v", "v", "w"])
    index = index_of(4, subset=["train", "S1", "S1", "S2"], frame=[1, 1, 2, 1], **columns)
    profile = synthetic.profile(seeds=(0,), video=kind)
    talking = index.iloc[:1].assign(split="train")
    (found,) = areas.of_videos(profile, {"300VW": index, "TF": talking})
    assert found.subset == "300VW all" and len(found.points) == kept
    assert found.real == (kind == "camera")


# --- claims and answers ------------------------------------------------------------------------


def claimed(points, **options):
    largest = areas.contour_largest([shapes(points, **options)])
    return {axis: claims.contour_variance(largest, axis) for axis in areas.AXES}, largest


def test_a_claim_is_judged_in_the_crop_and_is_open_where_the_eyes_say_otherwise():
    points = np.repeat(FACE[None], 50, axis=0) + 0.01 * np.random.default_rng(1).normal(
        size=(50, 6, 2)
    )
    points[:, [0, 1, 4, 5], 0] += np.random.default_rng(0).uniform(-15, 15, (50, 1))
    found, largest = claimed(points)
    assert found["x"]["verdict"] == "inconclusive" and found["x"]["ours_high"] < 0
    assert "crop 0.0 against" in found["x"]["data"] and "eyes" in found["x"]["data"]
    text = area_answers.variances(largest)
    assert "**inconclusive**" in text and "50 faces (invented)" in text and "nan" not in text


@pytest.mark.parametrize("real, verdict", [(True, "reproduced"), (False, "inconclusive")])
def test_a_claim_is_final_where_all_readings_of_one_scale_agree(real, verdict):
    rng = np.random.default_rng(0)
    points = np.repeat(FACE[None], 80, axis=0) + 0.2 * rng.normal(size=(80, 6, 2))
    points[:, 2:4, 1] += rng.normal(scale=12, size=(80, 2))
    found, largest = claimed(points, real=real)
    assert found["y"]["verdict"] == verdict and found["y"]["ours_low"] > 0
    assert ("no photographs" in area_answers.variances(largest)) == (not real)


def test_videos_of_a_camera_are_claimed_on_before_photographs_and_those_before_stand_ins():
    points = stretched(8, 2)
    ours = dict(label="a camera", subset="300VW all")
    listed = [
        shapes(points, label="drawn", real=False),
        shapes(points, label="photographs"),
        shapes(points, **ours),
    ]
    for count, label in ((3, "a camera"), (2, "photographs"), (1, "drawn")):
        largest = areas.contour_largest(listed[:count])
        assert set(claims.claimed(largest)["data"]) == {label}
    moved = dataclasses.replace(listed[2], real=False)
    assert set(claims.claimed(areas.contour_largest([moved, listed[1]]))["data"]) == {"photographs"}


def test_the_table_of_claims_takes_it_up(root):
    largest = areas.contour_largest([shapes(stretched(8, 2))])
    largest = tables.save(largest, "variances_contour", "cpu")
    table = claims.table(quantized.worked_example(), {"variances_contour": largest}).set_index("id")
    row = table.loc["contour-variance-x"]
    assert row["paper_value"] == "largest" and row["reason"] == ""
    assert row["ours"] == largest["more_percent"].iloc[0]  # in the crop, on x
    bare = claims.table(quantized.worked_example(), {}).set_index("id")
    assert bare.loc["contour-variance-y", "reason"] == claims.NO_VARIANCES


def test_figures_show_the_data_that_is_claimed_on(root):
    listed = [shapes(faces(30), IBUG68, label="invented faces", real=False)]
    spread, places = areas.variances(listed), areas.landmarks(listed)
    axes = area_figures.fig5_variances(spread)
    assert len(axes[0]) == len(areas.READINGS)
    of_x, of_y = axes[0, 0].containers
    rows = spread[spread["coordinates"].eq(areas.CROP) & spread["axis"].eq("y")]
    np.testing.assert_allclose(of_y.lines[0].get_ydata(), rows["variance"])
    assert figures.figure_of(axes).get_suptitle() == (
        "true landmarks of 30 faces: invented faces (no photographs)"
    )
    drawn = area_figures.mean_face(places)
    ellipse = drawn[0, 0].patches[0]  # of the first landmark of the eyes
    row = places[places["coordinates"].eq(areas.CROP)].iloc[0]
    assert (ellipse.width, ellipse.height) == pytest.approx((2 * row["sd_x"], 2 * row["sd_y"]))
    assert ellipse.center == pytest.approx((row["x"], row["y"]))
    assert drawn[0, 0].yaxis_inverted() and len(drawn[0, 0].patches) == 68
    few = areas.landmarks([shapes(faces(5), IBUG68)])
    assert few.empty and len(area_figures.mean_face(few)[0]) == 3


@needs_real_faces
def test_on_real_faces_the_contour_spreads_most_down_but_across_only_out_of_the_crop():
    index = datasets.load("300W", REAL)
    found = areas.of_index(index, IBUG68, "300W")
    table = areas.contour_largest([found], draws=200).set_index(["coordinates", "axis"])
    verdicts = table["verdict"]
    assert verdicts["crop", "x"] == "contradicted" and verdicts["crop", "y"] == "reproduced"
    assert set(verdicts[["eyes", "aligned"]]) == {"reproduced"}
    expected = torch.from_numpy(areas.in_crop(found)).var(dim=0, correction=0)[:17, 0].mean()
    assert table.loc[("crop", "x"), "contour"] == pytest.approx(expected.item())
