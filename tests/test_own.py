"""Data of one's own: what is read is what was written, and every fault is named by its place."""

import json
import re
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from own_folder import FIVE, POINTS, ROWS, WRITERS, put, settle
from PIL import Image

from study import __main__ as cli, datasets, paths
from study.datasets import own
from study.datasets.check import check
from study.datasets.index import DatasetError
from study.datasets.own import coco, scheme as schemes, table
from study.landmarks import Scheme
from study.standin import own as sample

QUICK = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def points_of(index):
    return np.stack(list(index["points"]))


def rewrite(root, line, text):
    """Replaces a line of points.csv, counted from 1."""
    lines = (root / table.FILE).read_text().splitlines()
    lines[line - 1] = text(lines[line - 1]) if callable(text) else text
    (root / table.FILE).write_text("\n".join(lines) + "\n")


def change(root, function):
    """Changes what annotations.json holds."""
    file = root / "annotations.json"
    held = json.loads(file.read_text())
    function(held)
    file.write_text(json.dumps(held))


def faults(root):
    """The problems of a folder as texts."""
    with pytest.raises(DatasetError) as error:
        datasets.load("OWN", root)
    return [str(problem) for problem in error.value.problems]


# --- round trips ------------------------------------------------------------------------------


names = st.lists(
    st.text(string.ascii_letters + "éß ,:'\"-", min_size=1, max_size=8)
    .map(str.strip)
    .filter(bool),
    min_size=2,
    max_size=6,
    unique=True,
)


@st.composite
def markups(draw):
    """A scheme of two to six points, mirrored in pairs or on their own."""
    points = draw(names)
    order = list(range(len(points)))
    for first in range(0, len(points) - 1, 2):
        if draw(st.booleans()):
            order[first], order[first + 1] = first + 1, first
    return Scheme(
        count=len(points),
        mirror=tuple(order),
        areas={},
        names=tuple(points),
        eye_corners=draw(st.sampled_from([None, (0, 1)])),
        name="drawn",
    )


@QUICK
@given(markup=markups(), seed=st.integers(0, 99), form=st.sampled_from(sorted(WRITERS)))
def test_what_is_written_is_read_again(tmp_path_factory, markup, seed, form):
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(5, 50, (3, markup.count, 2)).round(3)
    drawn[:, 0], drawn[:, 1] = (10, 10), (40, 40)  # spans a face, whatever is hidden
    drawn[1, 2:][rng.random(markup.count - 2) < 0.5] = np.nan
    rows = [(f"{n}.png", side, drawn[n]) for n, side in enumerate(["train", "train", "test"])]
    root = put(tmp_path_factory.mktemp("own"), rows, markup, form)
    index = datasets.load("OWN", root)
    np.testing.assert_allclose(points_of(index), drawn, atol=1e-9)
    assert index["split"].tolist() == ["train", "train", "test"]
    assert (np.stack(list(index["visible"])) == ~np.isnan(drawn).any(axis=-1)).all()
    assert datasets.scheme("OWN", root) == markup


@QUICK
@given(data=st.data(), form=st.sampled_from(sorted(WRITERS)))
def test_points_in_another_order_in_the_file_are_the_same_points(tmp_path_factory, data, form):
    root = put(tmp_path_factory.mktemp("own"), form=form)
    before = points_of(datasets.load("OWN", root))
    if form == "csv":
        lines = [line.split(",") for line in (root / table.FILE).read_text().splitlines()]
        order = data.draw(st.permutations(range(len(lines[0]))))
        moved = "\n".join(",".join(line[n] for n in order) for line in lines)
        (root / table.FILE).write_text(moved + "\n")
    else:
        order = data.draw(st.permutations(range(5)))
        change(root, lambda held: permute(held, order))
    np.testing.assert_array_equal(points_of(datasets.load("OWN", root)), before)


def permute(held, order):
    category = held["categories"][0]
    category["keypoints"] = [category["keypoints"][n] for n in order]
    for one in held["annotations"]:
        triples = np.reshape(one["keypoints"], (-1, 3))[list(order)]
        one["keypoints"] = triples.ravel().tolist()


@given(markup=markups())
def test_mirroring_twice_is_the_identity_and_pairs_say_what_a_whole_order_says(markup):
    points = list(markup.names)
    whole = [points[n] for n in markup.mirror]
    pairs = [[points[n], points[m]] for n, m in enumerate(markup.mirror) if n < m]
    for mirror in (whole, pairs):
        order = schemes._mirror(mirror, tuple(points))
        assert order == markup.mirror
        assert [order[n] for n in order] == list(range(len(points)))


def test_both_formats_give_the_same_index(tmp_path):
    one, other = (datasets.load("OWN", put(tmp_path / form, form=form)) for form in WRITERS)
    np.testing.assert_array_equal(points_of(one), points_of(other))
    columns = ["id", "split", "subset", "image", "photograph", "face_size"]
    assert one[columns].equals(other[columns])
    assert one["id"].tolist() == ["a", "deep/b", "c"]


# --- conventions ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WRITERS)
def test_an_origin_of_one_moves_every_point_by_one(tmp_path, form):
    root = put(tmp_path, form=form)
    before = points_of(datasets.load("OWN", root))
    settle(root, origin=1)
    np.testing.assert_allclose(points_of(datasets.load("OWN", root)), before - 1)


def test_a_coco_box_starts_half_a_px_before_the_first_centre(tmp_path):
    root = put(tmp_path, form="coco")
    settle(root, box="annotated")
    change(root, lambda held: held["annotations"][0].update(bbox=[10, 12, 40, 36]))
    index = datasets.load("OWN", root)
    assert index["box"][0].tolist() == [9.5, 11.5, 49.5, 47.5]
    assert index["face_size"][0] == pytest.approx((40 * 36) ** 0.5)


def test_an_annotated_box_of_a_csv_is_read_as_it_stands(tmp_path):
    root = put(tmp_path)
    settle(root, box="annotated")
    rewrite(root, 1, lambda line: line + ",box_x1,box_y1,box_x2,box_y2")
    for line in (2, 3, 4):
        rewrite(root, line, lambda text: text + ",10,12,50,48")
    assert datasets.load("OWN", root)["box"][2].tolist() == [10, 12, 50, 48]


def test_a_tight_box_holds_the_visible_points_alone(tmp_path):
    index = datasets.load("OWN", put(tmp_path))
    assert index["box"][0].tolist() == [20.5, 20.25, 40, 41]
    assert index["visible"][2].tolist() == [True, True, False, True, True]


def test_faces_of_one_image_have_numbered_ids_and_one_photograph(tmp_path):
    index = datasets.load("OWN", put(tmp_path, [*ROWS, ("a.png", "train", POINTS + 3)]))
    assert index["id"].tolist() == ["a:1", "deep/b", "c", "a:2"]
    assert index["photograph"].tolist() == ["a.png", "deep/b.png", "c.png", "a.png"]


def test_a_bare_name_finds_an_image_in_any_folder(tmp_path):
    root = put(tmp_path)
    rewrite(root, 3, lambda line: line.replace("deep/", ""))
    assert datasets.load("OWN", root)["image"][1] == "deep/b.png"


def unsplit(root, count, groups=None):
    """A folder of images without a split."""
    put(root, [(f"{n:03d}.png", "", POINTS + n / 100) for n in range(count)])
    if groups:
        lines = (root / table.FILE).read_text().splitlines()
        cells = ["group", *(f"g{n % groups}" for n in range(count))]
        text = "\n".join(f"{line},{cell}" for line, cell in zip(lines, cells, strict=True))
        (root / table.FILE).write_text(text + "\n")
    return root


def test_an_image_keeps_its_side_when_others_come(tmp_path):
    few, many = (
        datasets.load("OWN", unsplit(tmp_path / str(count), count)).set_index("id")["split"]
        for count in (40, 60)
    )
    assert few.equals(many[few.index])
    assert 0.05 < (many == "test").mean() < 0.4  # test_share is 0.2


def test_a_group_stays_on_one_side(tmp_path):
    index = datasets.load("OWN", unsplit(tmp_path, 40, groups=8))
    assert (index.groupby("photograph")["split"].nunique() == 1).all()
    assert index["photograph"].nunique() == 8


def test_crowds_and_annotations_without_a_point_are_left_out_and_counted(tmp_path):
    root = put(tmp_path, [*ROWS, ("d.png", "test", POINTS), ("e.png", "test", POINTS)], form="coco")
    change(root, lambda held: held["annotations"][3].update(iscrowd=1))
    change(root, lambda held: held["annotations"][4].update(keypoints=[0] * 15))
    found = own.inspect(root)
    assert (len(found.faces), found.left_out) == (3, 2)
    assert found.unused == ("d.png", "e.png")


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, text, fault",
    [
        (2, "x.png,train" + ",1" * 10, "points.csv, line 2: no image x.png"),
        (
            2,
            "a.png,train,2O.5" + ",1" * 9,
            "points.csv, line 2: x_left eye is '2O.5', no finite number",
        ),
        (
            2,
            "a.png,train,nan" + ",1" * 9,
            "points.csv, line 2: x_left eye is 'nan', no finite number",
        ),
        (3, "a.png,train,1,2", "points.csv, line 3: 4 fields, not 12"),
        (
            2,
            "a.png,dev" + ",1" * 10,
            "points.csv, line 2: split is 'dev'; there are train and test, or nothing",
        ),
        (
            2,
            "a.png,train,," + "1," * 8 + "1",
            "points.csv, line 2: x_left eye is empty, and the other coordinate is not",
        ),
        (2, ",train" + ",1" * 10, "points.csv, line 2: image is empty"),
        (2, "a.png,train" + ",1" * 10, "points.csv, line 2: a.png: the points span no area"),
        (
            2,
            "a.png,train,500,500" + ",1,2" * 2 + ",9,9" * 2,
            "points.csv, line 2: a.png: points up to 440 px outside the 80x60 image",
        ),
        (
            2,
            "a.png,train,5,5,5,5,30,30,20,20,30,20",
            "points.csv, line 2: a.png: left eye and right eye coincide",
        ),
    ],
)  # fmt: skip
def test_a_fault_of_a_row_is_named_by_its_line(tmp_path, line, text, fault):
    root = put(tmp_path)
    rewrite(root, line, text)
    assert fault in faults(root)


@pytest.mark.parametrize(
    "old, new, fault",
    [
        ("x_nose tip", "x_nosetip", "points.csv, line 1: no column 'x_nose tip'"),
        ("x_nose tip", "x_left eye", "points.csv, line 1: a second column 'x_left eye'"),
        ("image", "picture", "points.csv, line 1: no column 'image'"),
    ],
)
def test_a_wrong_header_is_named(tmp_path, old, new, fault):
    root = put(tmp_path)
    rewrite(root, 1, lambda line: line.replace(old, new, 1))
    assert fault in faults(root)


FOUR = ["left eye", "right eye", "nose tip", "left mouth corner"]
TURNING = ["right eye", "nose tip", "left eye", "left mouth corner", "right mouth corner"]


@pytest.mark.parametrize(
    "changed, fault",
    [
        ({"normalizer": None}, "no key 'normalizer'"),
        (
            {"normalizer": ["left eye"]},
            "normalizer: ['left eye'] is neither two points nor `box`",
        ),
        ({"normalizer": ["left eye", "chin"]}, "normalizer: no such point: chin"),
        (
            {"mirror": TURNING},
            "the mirror of 'left eye' is 'right eye', but that of 'right eye' is 'nose tip'",
        ),
        ({"mirror": FOUR}, "mirror: names 4 of 5 points; each must stand there once"),
        (
            {"mirror": [["left eye", "right eye"], ["left eye", "nose tip"]]},
            "mirror: 'left eye' is in two pairs",
        ),
        ({"mirror": [["left eye", "left ear"]]}, "mirror: no such point: left ear"),
        ({"points": ["a", "a"]}, "points: named twice: a"),
        ({"name": "tf7"}, "name: 'tf7' has 7 other points here"),
        ({"origin": 2}, "origin: 2 is neither 0 nor 1"),
        ({"box": "tight"}, "box: 'tight': there are points and annotated"),
        ({"test_share": 1}, "test_share: 1 is no number in [0, 1)"),
        ({"areas": {"ear": ["chin"]}}, "areas: no such point: chin"),
        ({"flip": []}, "no such key: flip; there are "),
    ],
)
def test_a_fault_of_the_scheme_is_named_by_file_and_key(tmp_path, changed, fault):
    root = put(tmp_path)
    settle(root, **changed)
    with pytest.raises(DatasetError) as error:
        datasets.scheme("OWN", root)
    texts = [str(problem) for problem in error.value.problems]
    assert any(re.match(r"scheme\.yaml(, line \d+)?: ", t) and fault in t for t in texts), texts
    assert any(fault in text for text in faults(root))


def test_all_faults_of_a_scheme_are_named_at_once(tmp_path):
    root = put(tmp_path)
    settle(root, normalizer=None, mirror=TURNING, origin=3)
    assert len(faults(root)) == 3


@pytest.mark.parametrize(
    "change_to, fault",
    [
        (
            lambda held: held["annotations"][0].update(keypoints=[1, 2, 2]),
            "annotations.json, annotation 1: keypoints are 3 numbers, not 3 times 5",
        ),
        (
            lambda held: held["annotations"][0].update(image_id=9),
            "annotations.json, annotation 1: no image 9 in the file",
        ),
        (
            lambda held: held["categories"][0]["keypoints"].__setitem__(0, "ear"),
            "annotations.json, category 1: 'ear' is no point of the scheme",
        ),
        (
            lambda held: held["annotations"][0]["keypoints"].__setitem__(2, 3),
            "annotations.json, annotation 1: v of a keypoint is 0, 1 or 2",
        ),
        (
            lambda held: held["images"][0].update(file_name="x.png"),
            "annotations.json, annotation 1: no image x.png",
        ),
        (
            lambda held: held.pop("images"),
            "annotations.json: no list 'images' of objects with an id",
        ),
    ],
)  # fmt: skip
def test_a_fault_of_a_coco_file_is_named_by_its_annotation(tmp_path, change_to, fault):
    root = put(tmp_path, form="coco")
    change(root, change_to)
    assert fault in faults(root)


def test_two_files_of_points_are_one_too_many_and_none_is_too_few(tmp_path):
    root = put(tmp_path)
    coco.write(root, FIVE, ROWS)
    assert faults(root) == ["points.csv and annotations.json: which of them holds the points?"]
    for name in ("points.csv", "annotations.json"):
        (root / name).unlink()
    assert "points.csv: no such file" in faults(root)[0]


def test_a_damaged_image_is_named_once_and_faults_stand_in_the_order_of_lines(tmp_path):
    root = put(tmp_path, [*ROWS, ("a.png", "train", POINTS + 3)])
    (root / "a.png").write_bytes(b"no picture")
    rewrite(root, 4, "x.png,test" + ",1" * 10)
    assert faults(root) == [
        "OWN: no face is left to test: where the files do not say, by hash of images' names, "
        "test_share 0.2; say `split` yourself",
        "points.csv, line 2: a.png: not an image, or a damaged one",
        "points.csv, line 4: no image x.png",
    ]


def test_an_image_that_programs_show_turned_is_refused(tmp_path):
    root = put(tmp_path, [("a.jpg", "train", POINTS), *ROWS[1:]])
    exif = Image.Exif()
    exif[own.ORIENTATION] = 6
    Image.new("RGB", (80, 60)).save(root / "a.jpg", exif=exif)
    assert "a.jpg: its orientation tag is 6" in faults(root)[0]


def test_an_image_on_both_sides_of_the_split_is_refused(tmp_path):
    root = put(tmp_path, [*ROWS, ("a.png", "test", POINTS + 3)])
    assert faults(root) == ["points.csv, line 5: a.png: a.png is to train and to test"]


def test_the_same_face_twice_is_refused(tmp_path):
    root = put(tmp_path, [*ROWS, ROWS[0]])
    assert faults(root) == ["points.csv, line 5: a.png: the same points as points.csv, line 2"]


# --- check-data and the document --------------------------------------------------------------


def test_check_says_what_there_is(tmp_path, capsys):
    root = put(tmp_path)
    Image.new("RGB", (9, 9)).save(root / "idle.png")
    assert cli.main(["check-data", "OWN", str(root)]) == 0
    out = capsys.readouterr().out
    assert "scheme five: 5 points; errors are divided by the distance of left eye and right" in out
    assert "train      2 faces in 2 images, 0 points hidden" in out
    assert "test       1 faces in 1 images, 1 points hidden" in out
    assert "images with no face: 1: idle.png" in out
    assert "broken: nothing" in out


def test_check_finds_an_image_that_ends_too_soon(tmp_path):
    root = put(tmp_path)
    whole = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(whole).save(root / "a.png")
    (root / "a.png").write_bytes((root / "a.png").read_bytes()[:2000])
    assert len(datasets.load("OWN", root)) == 3  # which reads headers alone
    report = check("OWN", root, progress=False)
    assert not report.ok and report.problems[0].file == "a.png"


def document(language, start):
    """The block of docs/own_data.md that begins so."""
    text = (paths.ROOT / "docs/own_data.md").read_text()
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    return next(block for kind, block in blocks if kind == language and block.startswith(start))


def test_the_documented_scheme_and_coco_file_are_read(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / schemes.FILE).write_text(document("yaml", "name: five"))
    held = json.loads(document("json", '{"images"'))
    held["images"].append({"id": 2, "file_name": "photos/b.jpg", "split": "test"})
    held["annotations"].append({**held["annotations"][0], "id": 2, "image_id": 2})
    (tmp_path / "annotations.json").write_text(json.dumps(held))
    for name in "ab":
        Image.new("RGB", (160, 120)).save(tmp_path / f"photos/{name}.jpg")
    index = datasets.load("OWN", tmp_path)
    assert index["points"][0][:, 0].tolist()[:3] == [51.2, 83.4, 69.4]
    assert index["visible"][0].tolist() == [True, True, True, False, True]
    assert datasets.scheme("OWN", tmp_path).mirror == FIVE.mirror


def test_the_documented_faults_are_what_a_reader_of_the_folder_is_told(tmp_path):
    rows = [(f"photos/{n}.jpg", "", POINTS * 10 + n) for n in range(30)]
    root = put(tmp_path, rows)
    for n in range(30):
        Image.new("RGB", (640, 480)).save(root / f"photos/{n}.jpg")
    Image.new("RGB", (640, 480)).save(root / "photos/e.jpg")
    lines = (root / table.FILE).read_text().splitlines()
    cut = [",".join(line.split(",")[:12]) for line in lines]
    cut[2] = cut[2].replace("photos/1.jpg", "photos/bb.jpg")
    cells = cut[3].split(",")
    cut[3] = ",".join([*cells[:6], "9O.5", *cells[7:]])
    cut[4] = ",".join(cut[4].split(",")[:10])
    cells = cut[5].split(",")
    cut[5] = ",".join(["photos/e.jpg", *cells[1:2], "1451.5", *cells[3:]])
    (root / table.FILE).write_text("\n".join(cut) + "\n")
    printed = str(check("OWN", root, progress=False))
    assert document("", "broken: 4").strip() in printed


# --- the sample -------------------------------------------------------------------------------


def test_the_sample_is_the_same_in_both_formats_and_whatever_the_jobs(tmp_path):
    for form, jobs in (("csv", 1), ("coco", 2)):
        root, counts = tmp_path / form, {"train": 3, "test": 2}
        sample.write_own(root, counts, seed=4, jobs=jobs, progress=False, form=form)
    one, other = (datasets.load("OWN", tmp_path / form) for form in WRITERS)
    np.testing.assert_array_equal(points_of(one), points_of(other))
    for image in one["image"]:
        assert (tmp_path / "csv" / image).read_bytes() == (tmp_path / "coco" / image).read_bytes()
    assert "no photographs" in (tmp_path / "csv" / "STAND-INS.txt").read_text()
    assert datasets.scheme("OWN", tmp_path / "csv") == FIVE


def test_a_point_of_the_sample_is_hidden_where_most_of_what_it_is_of_is_hidden():
    points, seen = np.arange(136.0).reshape(68, 2), np.ones(68, dtype=bool)
    seen[36:40] = False  # four of the left eye's six
    seen[42:45] = False  # half of the right eye's
    five = sample.annotate(points, seen)
    assert np.isnan(five[0]).all() and not np.isnan(five[1:]).any()
    assert five[1].tolist() == points[42:48].mean(axis=0).tolist()


def test_the_sample_never_goes_into_a_folder_that_holds_something(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("x")
    assert cli.main(["own-sample", "--out", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_writes_a_sample_that_checks(tmp_path, capsys):
    out = str(tmp_path / "sample")
    command = ["own-sample", "--out", out, "--faces", "2", "1", "--format", "coco", "--jobs", "1"]
    assert cli.main(command) == 0
    assert cli.main(["check-data", "OWN", out]) == 0
    assert cli.main(["own-sample", "--out", out + "2", "--format", "xml"]) == 1
    assert "there are csv, coco" in capsys.readouterr().err
