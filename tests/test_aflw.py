"""AFLW: a small .mat typed by hand, one of all official annotations, and the stand-ins of it."""

import gzip
import json
import re
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import io

from study import datasets
from study.__main__ import main
from study.datasets import aflw, check, crops
from study.datasets.index import DatasetError, fault
from study.landmarks import SCHEMES
from study.paths import ROOT
from study.standin import aflw as standin
from study.standin.face import Face, Identity, Pose, Scene, draw, draw_seen, landmarks
from study.standin.parameters import Hair

LISTS = ROOT / "data" / "AFLW" / "lists"
needs_lists = pytest.mark.skipif(
    not LISTS.is_dir(),
    reason="no lists of all annotations under data/AFLW/lists: not part of the project",
)

# Three faces in two images; the second and third share one. Typed as x y, as one reads a face.
NAMES = ["0/image00002.jpg", "3/image50011.png", "3/image50011.png"]
FIRST = [
    *((20, 30), (25, 28), (30.5, 29.25), (50, 29), (55, 28), (60, 30)),
    *((22, 35), (26, 35), (30, 36), (50, 36), (54, 35), (58, 35)),
    *((35, 50), (40, 52), (45, 50), (30, 60), (40, 61), (50, 60), (40, 75)),
]
POINTS = np.array([FIRST, np.add(FIRST, [1, 2]), np.multiply(FIRST, 0.5)], dtype=float)
VISIBLE = np.ones((3, 19), dtype=bool)
VISIBLE[1, [0, 12, 18]] = False
BOXES = np.array([[10, 20, 70, 80], [11, 18, 75, 82], [2, 5, 34, 39]], dtype=float)  # x1 y1 x2 y2
ORDER = [2, 0, 1]  # of `ra`, from 0


def write(root, folder="data/flickr", size=(90, 90), **changed):
    """The three faces in AFLW's layout; `changed` are arrays of the .mat in others' places."""
    for name in dict.fromkeys(NAMES):
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(path)
    # Written without the study's own writer: x of all points, then y; x1 x2 y1 y2; ra from 1.
    cells = np.empty((3, 1), dtype=object)
    cells[:, 0] = NAMES
    held = {
        "data": np.stack([np.concatenate([points[:, 0], points[:, 1]]) for points in POINTS]),
        "mask_new": VISIBLE.astype(np.uint8),
        "bbox": BOXES[:, [0, 2, 1, 3]],
        "nameList": cells,
        "ra": np.array([ORDER]) + 1,
    }
    held = {name: value for name, value in {**held, **changed}.items() if value is not None}
    io.savemat(root / "AFLWinfo_release.mat", held)
    return root


def read(root, **options):
    return aflw.read(root, **{"train": 2, **options})


def causes(root, **options):
    with pytest.raises(DatasetError) as error:
        read(root, **options)
    return [str(problem) for problem in error.value.problems]


# --- the reader -------------------------------------------------------------------------------


def test_faces_come_back_in_the_order_of_ra_with_split_points_visibility_and_face_size(tmp_path):
    index = read(write(tmp_path))
    assert index["id"].tolist() == ["3/image50011-2", "0/image00002-0", "3/image50011-1"]
    assert index["split"].tolist() == ["train", "train", "test"]
    assert index["subset"].tolist() == ["train", "train", "AFLW"]
    assert index["image"].tolist() == [f"data/flickr/{NAMES[row]}" for row in ORDER]
    assert index["photograph"].tolist() == [NAMES[row] for row in ORDER]
    assert index["face_size"].tolist() == [pytest.approx(np.sqrt(32 * 34)), 60.0, 64.0]
    for row, (_, face) in zip(ORDER, index.iterrows(), strict=True):
        assert face["visible"].tolist() == VISIBLE[row].tolist()
        np.testing.assert_array_equal(face["box"], BOXES[row])
        np.testing.assert_array_equal(face["points"][VISIBLE[row]], POINTS[row][VISIBLE[row]])
        assert np.isnan(face["points"][~VISIBLE[row]]).all()
    assert index["points"][1][2].tolist() == [30.5, 29.25]  # as the file says: counted from 0


@pytest.mark.parametrize("folder", ["", "flickr", "data/flickr"])
def test_images_may_lie_in_any_of_three_places(tmp_path, folder):
    index = read(write(tmp_path, folder))
    assert index["image"][1] == f"{folder}/0/image00002.jpg".removeprefix("/")


def test_load_and_the_split_file_say_how_many_are_to_train(tmp_path):
    write(tmp_path)
    standin.write_split(tmp_path, 1)
    assert datasets.load("AFLW", tmp_path)["split"].tolist() == ["train", "test", "test"]


def test_a_small_file_has_no_official_split(tmp_path):
    assert causes(write(tmp_path), train=None) == [
        "AFLWinfo_release.mat: ra lists 3 faces, and the official split takes the first 20000 to "
        "train: a side is left empty"
    ]
    assert "the split takes the first 3 to train" in causes(tmp_path, train=3)[0]
    (tmp_path / "split.json").write_text("[]")
    assert causes(tmp_path, train=None) == ['split.json: not as in {"train": 300}']


def test_annotations_can_be_read_without_images(tmp_path):
    index = read(write(tmp_path / "with"))
    (tmp_path / "AFLWinfo_release.mat").write_bytes(
        (tmp_path / "with" / "AFLWinfo_release.mat").read_bytes()
    )
    bare = read(tmp_path, images=False)
    assert bare["image"].tolist() == [NAMES[row] for row in ORDER]
    assert bare["id"].tolist() == index["id"].tolist()
    np.testing.assert_array_equal(np.stack(bare["points"]), np.stack(index["points"]))


def test_missing_and_damaged_images_are_named_once_each_all_at_once(tmp_path):
    write(tmp_path)
    (tmp_path / "data/flickr" / NAMES[0]).unlink()
    (tmp_path / "data/flickr" / NAMES[1]).write_bytes(b"")
    assert causes(tmp_path) == [
        "data/flickr/3/image50011.png: empty file",
        "0/image00002.jpg: no such image, in data/flickr/, flickr/, the root",
    ]


def test_a_folder_without_a_mat_or_with_a_damaged_one_says_so(tmp_path):
    assert "no such folder" in causes(tmp_path / "none")[0]
    assert "no such file" in causes(tmp_path)[0]
    (tmp_path / "AFLWinfo_release.mat").write_bytes(b"no mat")
    assert "not a .mat file" in causes(tmp_path)[0]


def test_all_arrays_of_another_shape_are_named_at_once(tmp_path):
    wrong = dict(bbox=BOXES[:2], mask_new=VISIBLE[:, :18].astype(float))
    assert causes(write(tmp_path, **wrong)) == [
        "AFLWinfo_release.mat: mask_new is (3, 18), not (3, 19)",
        "AFLWinfo_release.mat: bbox is (2, 4), not (3, 4)",
    ]
    assert "no array 'ra'" in causes(write(tmp_path, ra=None))[0]
    assert "no permutation" in causes(write(tmp_path, ra=np.array([[1, 1, 3]])))[0]


def test_points_and_boxes_that_cannot_be_right_are_named_with_row_and_image(tmp_path):
    flat = BOXES[:, [0, 2, 1, 3]].copy()
    flat[1, 1] = flat[1, 0]
    hidden = VISIBLE.copy()
    hidden[2] = False
    told = causes(write(tmp_path, bbox=flat, mask_new=hidden.astype(float), size=(30, 90)))
    assert told == [
        "AFLWinfo_release.mat, row 3, 3/image50011.png: no point is visible",
        "AFLWinfo_release.mat, row 1, 0/image00002.jpg: points up to 30 px outside the 30x90 "
        "image",
        "AFLWinfo_release.mat, row 2, 3/image50011.png: the box spans no area",
    ] or told[1].endswith("px outside the 30x90 image")


def test_invisible_points_are_not_held_against_the_image():
    points = POINTS[0].copy()
    points[3] = np.nan
    scheme = SCHEMES["aflw19"]
    assert fault(points, scheme, 90, 90, BOXES[0]) is None
    points[3] = 1000
    assert "outside" in fault(points, scheme, 90, 90, BOXES[0])
    one = np.full((19, 2), np.nan)
    one[4] = 40, 40  # a point spans no area; a box does
    assert fault(one, scheme, 90, 90, BOXES[0]) is None
    assert fault(one, scheme, 90, 90) == "the points span no area"


def test_check_data_counts_the_two_sides_and_decodes(tmp_path, capsys):
    write(tmp_path)
    standin.write_split(tmp_path, 2)
    report = check.check("AFLW", tmp_path, progress=False)
    assert report.ok
    assert report.counts == {"train": (2, 20000), "AFLW": (1, 4386), "full": (1, 4386)}
    assert main(["check-data", "AFLW", str(tmp_path)]) == 0
    assert "19998 of 20000" in capsys.readouterr().out
    assert main(["check-data", "AFLW", str(tmp_path / "none")]) == 1


# --- crops ------------------------------------------------------------------------------------


def test_crops_are_squares_around_the_annotated_box_and_keep_hidden_points_hidden(tmp_path):
    index = read(write(tmp_path / "in"))
    made = crops.build(index, tmp_path / "in", tmp_path / "cut", size=32, progress=False)
    hidden = ~np.stack(list(index["visible"]))
    assert np.array_equal(np.isnan(made.points).any(-1), hidden)
    assert np.array_equal(np.stack(list(made.table["visible"])), ~hidden)
    back = made.to_image(made.points, np.arange(3))
    np.testing.assert_allclose(back, np.stack(list(index["points"])), atol=1e-9)
    # The middle of the box, (40, 50) px of row 0's, is the middle of the crop; twice the box.
    middle = (made.meta["resolution"] - 1) / 2
    np.testing.assert_allclose(made.to_image([[[middle, middle]]], [1])[0, 0], [40, 50])
    assert made.affine[1, 0] * made.meta["resolution"] == pytest.approx(2 * 60)


def test_another_box_of_the_same_size_makes_other_crops_and_another_fingerprint(tmp_path):
    def cut(root):
        return crops.build(read(root), root, tmp_path / "cut", size=32, progress=False)

    first = cut(write(tmp_path / "in"))
    moved = BOXES + [1, 0, 1, 0]
    second = cut(write(tmp_path / "in", bbox=moved[:, [0, 2, 1, 3]]))
    assert not np.allclose(first.affine, second.affine)
    assert first.meta["fingerprint"] != second.meta["fingerprint"]


# --- all official annotations -----------------------------------------------------------------


def official():
    """Names, points, visibility and boxes by row, row numbers to train on and to test on, sizes.

    From the lists and .pts files that others made of the official .mat: a row's number, from 0,
    ends the name of its .pts.
    """
    names, boxes, sizes, sides = {}, {}, {}, {"train": [], "test": []}
    for side, rows in sides.items():
        with gzip.open(LISTS / f"{side}.GTB.gz", "rt") as lines:
            for image, annotation, *box, size in map(str.split, lines):
                row = int(re.search(r"-(\d+)\.pts$", annotation)[1])
                names[row], boxes[row] = image.split("images/")[1], [float(v) for v in box]
                sizes[row] = float(size)
                rows.append(row)
    points = np.full((len(names), 19, 2), np.nan)
    with tarfile.open(LISTS / "AFLW19_pts_24386.tar.gz") as tar:
        for member in tar:
            if match := re.search(r"-(\d+)\.pts$", member.name):
                for line in tar.extractfile(member).read().decode().splitlines():
                    if line.endswith("True"):
                        number, x, y, _ = line.split()
                        points[int(match[1]), int(number) - 1] = float(x), float(y)
    listed = [[values[row] for row in range(len(names))] for values in (names, boxes, sizes)]
    return *listed, points, sides


@needs_lists
def test_all_official_annotations_give_the_official_split_and_face_sizes(tmp_path):
    names, boxes, sizes, points, sides = official()
    visible = np.isfinite(points).all(-1)
    order = sides["train"] + sides["test"]
    standin.write_mat(tmp_path / aflw.FILE, names, points, visible, boxes, order)
    index = aflw.read(tmp_path, images=False)
    assert index["split"].value_counts().to_dict() == {"train": 20000, "test": 4386}
    assert index["id"].is_unique and index["photograph"].nunique() == 21123
    np.testing.assert_array_equal(np.stack(list(index["points"])), points[order])
    np.testing.assert_allclose(index["face_size"], np.array(sizes)[order], atol=0.006)
    shared = index.groupby("photograph")["split"].nunique() > 1
    assert shared.sum() == 800  # the official split parts faces of one image


# --- stand-ins --------------------------------------------------------------------------------

BALD = replace(Identity(), hair=Hair(style="bald"))


def seen_of(yaw=0.0, **scene):
    face = Face(BALD, pose=Pose(yaw=yaw), scene=Scene(background="plain", **scene))
    _, points, seen = draw_seen(face, 128)
    np.testing.assert_array_equal(points, landmarks(face, 128))
    return standin.annotate(points, seen)[1]


def test_a_frontal_face_hides_nothing_not_even_behind_glasses():
    assert seen_of().all()
    assert seen_of(glasses="sun").all()


def test_a_head_in_profile_hides_its_far_side_and_nothing_of_the_near_one():
    scheme = SCHEMES["aflw19"]
    left, right = seen_of(80), seen_of(-80)  # the nose points right, then left
    near = [0, 1, 6, 7, 12, 15]  # the image's left of brow, eye, nose and mouth
    far = [scheme.mirror[n] for n in near]
    assert left[near].all() and not left[[5, 11]].any() and left[far].sum() <= 2
    assert right[far].all() and not right[[0, 6]].any() and right[near].sum() <= 2
    assert left[13] and right[13]  # the nose's tip


def test_an_occluder_hides_what_is_behind_it():
    face = Face(BALD, scene=Scene(background="plain", occluder="hand", occluder_seed=2))
    image, points, seen = draw_seen(face, 128)
    assert 0 < (~seen).sum() < 68
    again, same = draw(face, 128)
    assert np.array_equal(image, again) and np.array_equal(points, same)
    bare, _, free = draw_seen(replace(face, scene=replace(face.scene, occluder="")), 128)
    at = np.round(points).astype(int)
    changed = np.abs(image.astype(int) - bare)[at[:, 1].clip(0, 127), at[:, 0].clip(0, 127)].max(-1)
    assert (changed[free & ~seen] > 0).all()  # another colour is there than without the hand



@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("aflw") / "made"
    standin.write_aflw(root, {"train": 6, "test": 3}, 3, jobs=1, progress=False)
    return root


def test_stand_ins_are_read_as_the_official_set_is(rendered):
    index = datasets.load("AFLW", rendered)
    assert index["split"].value_counts().to_dict() == {"train": 6, "test": 3}
    assert check.check("AFLW", rendered, progress=False).ok
    assert "no photographs" in (rendered / "STAND-INS.txt").read_text()
    for _, face in index.iterrows():
        seen = face["points"][face["visible"]]
        low, high = face["box"][:2], face["box"][2:]
        assert (seen > low).all() and (seen < high).all()
        assert (face["box"] % 1 == 0).all() and np.ptp(high - low) == 0


def test_stand_ins_are_the_same_bytes_again_and_left_alone_when_they_are_there(rendered, tmp_path):
    again = tmp_path / "again"
    standin.write_aflw(again, {"train": 6, "test": 3}, 3, jobs=2, progress=False)
    files = sorted(p.relative_to(rendered) for p in rendered.rglob("*") if p.is_file())
    assert len(files) == 9 + 4
    assert all((rendered / file).read_bytes() == (again / file).read_bytes() for file in files)
    stamp = (again / aflw.FILE).stat().st_mtime_ns
    standin.write_aflw(again, {"train": 6, "test": 3}, 3, jobs=1, progress=False)
    assert (again / aflw.FILE).stat().st_mtime_ns == stamp
    assert json.loads((again / aflw.SPLIT).read_text()) == {"train": 6}


def test_stand_ins_need_faces_on_both_sides(tmp_path):
    for counts in ({"train": 3}, {"train": 3, "test": 0}, {"train": 3, "test": 1, "afw": 2}):
        with pytest.raises(ValueError, match="one or more"):
            standin.write_aflw(tmp_path / "x", counts, 1, progress=False)


def test_the_nineteen_are_those_of_the_table_and_keep_the_mirror_order():
    scheme, wide = SCHEMES["aflw19"], SCHEMES["ibug68"]
    assert len(standin.IN_IBUG68) == scheme.count
    for n, group in enumerate(standin.IN_IBUG68):
        assert {wide.mirror[k] for k in group} == set(standin.IN_IBUG68[scheme.mirror[n]])


def test_a_point_is_visible_where_half_of_what_it_is_the_mean_of_is_seen():
    points = np.random.default_rng(0).uniform(22, 60, (68, 2))
    points[[36, 45]] = [22, 22], [60, 60]  # 38 px wide and high
    seen = np.ones(68, bool)
    seen[[17, 37, 38, 43, 44, 46]] = False
    nineteen, visible, box = standin.annotate(points, seen)
    assert np.flatnonzero(~visible).tolist() == [0, 10]
    np.testing.assert_allclose(nineteen[7], points[[37, 38, 40, 41]].mean(0))
    assert box.tolist() == [16, 13, 66, 63]  # a side of 38 / 0.755, its middle 2.6 px higher
