import csv
import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from study import weights
from study.confidence import Calibration
from study.config import TrainingConfig
from study.datasets.formats import read_pts
from study.landmarks import SCHEMES
from study.marking import marks
from study.marking.marks import PredictError
from study.predict import Face

N = 68
CONFIG = TrainingConfig("detector1d", size=32, length=24, channels=8, depth=1)
META = weights.Meta("detector1d", CONFIG, N, about={"run": "detector1d_L24-s0"})
IMAGE = np.full((50, 60, 3), 90, dtype=np.uint8)


def face(shift=0.0, sure=0.9, score=1.25):
    """A face of points on a circle."""
    angle = np.linspace(0, 2 * np.pi, N, endpoint=False)
    points = np.stack([30 + shift + 12 * np.cos(angle), 25 + 12 * np.sin(angle)], axis=1)
    return Face(points, np.full(N, sure), np.array([18.0, 13.0, 42.0, 37.0]) + shift, score)


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def named(*paths, out="out"):
    """The names of photographs, and the troubles."""
    troubles = []
    return list(marks.named(paths, out, troubles).values()), troubles


# --- names ------------------------------------------------------------------------------------


def test_a_photograph_gives_its_name_and_one_in_a_folder_its_place_there(tmp_path):
    touched(tmp_path, "a/10.jpg", "a/9.jpg", "a/deep/b.png", "c.jpg")
    names, troubles = named(tmp_path / "c.jpg", tmp_path / "a")
    assert names == ["c", "9", "10", "deep/b"] and troubles == []


def test_no_two_names_are_one_nor_differ_by_case_alone(tmp_path):
    paths = ["x/a.jpg", "y/A.JPG", "z/a.jpg", "x/a.png", "w/a.jpg"]
    touched(tmp_path, *paths)
    assert named(*(tmp_path / path for path in paths))[0] == ["a", "A.JPG", "a-2", "a.png", "a-3"]


def test_a_name_that_a_second_face_could_have_is_not_given():
    assert named("a.face1.jpg", "a.FACE12.png")[0] == ["a.face1.jpg", "a.FACE12.png"]
    assert named("b/a.face1.jpg", "a.face1.jpg")[0] == ["a.face1.jpg", "a.face1-2"]
    assert named("a.face.jpg", "face1.jpg")[0] == ["a.face", "face1"]


@given(st.lists(st.from_regex(r"[a-c]/[ab](\.face1)?(-2)?\.(jpg|JPG|png)", fullmatch=True)))
def test_names_are_unique_whatever_the_paths(paths):
    names, _ = named(*paths)
    assert len({name.casefold() for name in names}) == len(names) == len(set(paths))


def test_a_photograph_that_is_named_twice_counts_once(tmp_path):
    touched(tmp_path, "a/b.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a" / "b.jpg")
    assert named(tmp_path / "a" / "b.jpg", tmp_path / "a", tmp_path / "link.jpg")[0] == ["b"]


def test_results_are_no_photographs(tmp_path):
    touched(tmp_path, "a.jpg", "a.overlay.jpg", "out/b.jpg")
    assert named(tmp_path, out=tmp_path / "out")[0] == ["a"]
    assert named(tmp_path, out=tmp_path)[0] == ["a", "out/b"]


def test_a_folder_without_a_photograph_is_a_trouble_and_a_link_to_itself_is_none(tmp_path):
    (tmp_path / "in").mkdir()
    assert named(tmp_path / "in") == ([], [f"{tmp_path / 'in'}: no images in this folder"])
    (tmp_path / "in" / "a.jpg").symlink_to(tmp_path / "in" / "a.jpg")
    assert named(tmp_path / "in") == (["a"], [])  # that it cannot be read, is said later


@pytest.mark.parametrize("ending", ["pts", "json"])
def test_a_file_beside_a_photograph_is_not_replaced(tmp_path, ending):
    touched(tmp_path, "a.jpg", f"a.{ending}")
    images = marks.named([tmp_path / "a.jpg"], tmp_path, [])
    with pytest.raises(PredictError, match=f"a.{ending}: is there already, beside a photograph"):
        marks.require_free(images, tmp_path)
    marks.require_free(images, tmp_path / "out")


def test_results_of_before_are_replaced(tmp_path):
    touched(tmp_path, "in/a.jpg", "out/a.pts", "out/a.json", "out/a.overlay.jpg")
    marks.require_free({tmp_path / "in" / "a.jpg": "a"}, tmp_path / "out")


def test_a_photograph_and_the_list_of_boxes_are_not_replaced(tmp_path):
    paths = [tmp_path / "a.jpg", tmp_path / "a.overlay.jpg"]
    touched(tmp_path, "a.jpg", "a.overlay.jpg")
    with pytest.raises(PredictError, match="a.overlay.jpg: a photograph"):
        marks.require_free(marks.named(paths, tmp_path, []), tmp_path)
    with pytest.raises(PredictError, match="list of boxes would be replaced"):
        marks.require_free({}, tmp_path, tmp_path / "landmarks.csv")


# --- boxes ------------------------------------------------------------------------------------


def boxes(tmp_path, text, *images):
    """What a list of this text says of images: dict from their names."""
    (tmp_path / "boxes.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    read = marks.read_boxes(tmp_path / "boxes.csv", [tmp_path / image for image in images])
    return {path.relative_to(tmp_path).as_posix(): box.tolist() for path, box in read.items()}


def test_a_list_of_boxes_by_hand(tmp_path):
    text = "\ufeffx1,image,y1,x2,y2,more\n1,a.jpg,2,3.5,4,\n5,b/a.png,6,7,8,z\n-1,a.jpg,0,9,1e1,\n"
    expected = {"c/a.jpg": [[1, 2, 3.5, 4], [-1, 0, 9, 10]], "b/a.png": [[5, 6, 7, 8]]}
    assert boxes(tmp_path, text, "c/a.jpg", "b/a.png", "d.jpg") == expected


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    head = "image,x1,y1,x2,y2\n"
    assert boxes(tmp_path, head + "p/a.jpg,1,2,3,4", "p/a.jpg", "q/a.jpg") == {
        "p/a.jpg": [[1, 2, 3, 4]]
    }
    with pytest.raises(PredictError, match="boxes.csv: line 2: 'a.jpg' is 2 of the images"):
        boxes(tmp_path, head + "a.jpg,1,2,3,4", "p/a.jpg", "q/a.jpg")


@pytest.mark.parametrize(
    "text, cause",
    [
        ("", "its first line must name the columns image, x1, y1, x2, y2"),
        ("image,x1,y1,x2\n", "its first line must name"),
        (b"\xff\xd8\xff\xe0\x00JFIF", "its first line must name"),
        ("image,x1,y1,x2,y2\nb.jpg,1,2,3,4", "line 2: 'b.jpg' is none of the images"),
        ("image,x1,y1,x2,y2\n,1,2,3,4", "line 2: '' is none of the images"),
        ("image,x1,y1,x2,y2\na.jpg,1,2,3,4\na.jpg,1,2,3", "line 3: 1, 2, 3, None are not four"),
        ("image,x1,y1,x2,y2\na.jpg,1,2,three,4", "line 2: 1, 2, three, 4 are not four numbers"),
    ],
)
def test_a_list_that_cannot_be_used_says_where(tmp_path, text, cause):
    with pytest.raises(PredictError) as caught:
        boxes(tmp_path, text, "a.jpg")
    assert str(caught.value).startswith(f"{tmp_path / 'boxes.csv'}: ")
    assert cause in str(caught.value)


def test_no_list_and_a_folder_are_named(tmp_path):
    with pytest.raises(PredictError, match="none.csv: No such file"):
        marks.read_boxes(tmp_path / "none.csv", [])
    with pytest.raises(PredictError, match="Is a directory"):
        marks.read_boxes(tmp_path, [])


def test_our_own_table_is_a_list_of_boxes(tmp_path):
    path = tmp_path / "in" / "a.jpg"
    with marks.Sink(tmp_path / "out", META, ("csv",), False, {}) as sink:
        sink.write(path, "a", IMAGE, [face(), face(2.5)])
    read = marks.read_boxes(tmp_path / "out" / "landmarks.csv", [path])
    assert np.allclose(read[path], [face().box, face(2.5).box])


# --- files ------------------------------------------------------------------------------------


def test_a_row_holds_box_scores_and_points_to_a_hundredth_of_a_pixel():
    made = face(0.123, sure=0.12345)
    row = dict(zip(marks.header(N), marks.row("in/a.jpg", 3, made), strict=True))
    assert (row["image"], row["face"], row["score"]) == ("in/a.jpg", 3, "1.250")
    assert (row["box_x1"], row["box_y2"], row["confidence"]) == ("18.12", "37.12", "0.123")
    points = [[float(row[f"{axis}{n}"]) for axis in "xy"] for n in range(N)]
    assert np.abs(points - made.points).max() <= 0.005001
    assert {row[f"c{n}"] for n in range(N)} == {"0.123"}
    assert marks.row("a.jpg", 0, face(score=None))[6] == ""


def test_the_record_says_what_its_numbers_are():
    calibrated = weights.Meta(
        "detector1d", CONFIG, N, calibration=Calibration(0.05, (1.0, 1.0), (0.0,) * N)
    )
    made = marks.record("in/a.jpg", IMAGE, [face()], calibrated)
    assert (made["image"], made["width"], made["height"]) == ("in/a.jpg", 60, 50)
    assert (made["scheme"], made["confident_within"]) == ("ibug68", 0.05)
    assert np.abs(np.array(made["faces"][0]["points"]) - face().points).max() <= 0.0005001
    assert made["faces"][0]["box"] == face().box.tolist()
    assert (made["faces"][0]["score"], made["faces"][0]["confidence"]) == (1.25, 0.9)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    empty = marks.record("a.jpg", IMAGE, [], META)
    assert (empty["faces"], empty["confident_within"]) == ([], None)
    assert empty["weights"] == {"run": "detector1d_L24-s0"}


def written(folder):
    """Names of all files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_each_picture_gets_its_files_and_each_is_counted(tmp_path):
    count = {}
    with marks.Sink(tmp_path / "new" / "out", META, marks.FORMATS, True, count) as sink:
        sink.write("in/a.jpg", "deep/a", IMAGE, [face(), face(4)])
        sink.write("in/b.jpg", "b", IMAGE, [])
    out = tmp_path / "new" / "out"
    assert written(out) == [
        "b.json",
        *("deep/a.face1.pts", "deep/a.json", "deep/a.overlay.jpg", "deep/a.pts", "landmarks.csv"),
    ]
    assert count == {"landmarks.csv": 1, ".json": 2, ".pts": 2, ".overlay.jpg": 1}
    assert np.allclose(read_pts(out / "deep" / "a.pts"), face().points, atol=1e-5)
    assert np.allclose(read_pts(out / "deep" / "a.face1.pts"), face(4).points, atol=1e-5)
    with open(out / "landmarks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["face"]) for row in rows] == [("in/a.jpg", "0"), ("in/a.jpg", "1")]
    assert json.loads((out / "b.json").read_text())["faces"] == []


@pytest.mark.parametrize(
    "formats, draw, expected",
    [
        (("csv",), False, ["landmarks.csv"]),
        (("json",), False, ["a.json"]),
        (("pts",), True, ["a.overlay.jpg", "a.pts"]),
        ((), False, []),
    ],
)
def test_only_what_is_asked_for_is_written(tmp_path, formats, draw, expected):
    with marks.Sink(tmp_path / "out", META, formats, draw, {}) as sink:
        sink.write("a.jpg", "a", IMAGE, [face()])
    assert written(tmp_path / "out") == expected


def test_rows_are_on_disk_as_soon_as_they_are_known(tmp_path):
    with marks.Sink(tmp_path, META, ("csv",), False, {}) as sink:
        for count in (1, 2):
            sink.write("a.jpg", "a", IMAGE, [face()])
            assert len((tmp_path / "landmarks.csv").read_text().splitlines()) == 1 + count


def test_a_name_that_is_no_text_is_kept(tmp_path):
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    with marks.Sink(tmp_path, META, ("csv", "json"), False, {}) as sink:
        sink.write(name, "a", IMAGE, [face()])
    assert b"\ncaf\xe9.jpg,0," in (tmp_path / "landmarks.csv").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text())["image"] == name
    assert list(marks.read_boxes(tmp_path / "landmarks.csv", [tmp_path / name])) == [
        tmp_path / name
    ]


def test_unknown_formats_and_unusable_places_are_named(tmp_path):
    with pytest.raises(PredictError, match="format 'xml' is unknown; there are csv, json, pts"):
        marks.Sink(tmp_path, META, ("csv", "xml"), True, {})
    (tmp_path / "file").touch()
    with pytest.raises(PredictError, match="file: File exists"):
        marks.Sink(tmp_path / "file", META, (), True, {}).__enter__()
    (tmp_path / "out" / "landmarks.csv").mkdir(parents=True)
    with pytest.raises(PredictError, match="landmarks.csv: Is a directory"):
        marks.Sink(tmp_path / "out", META, ("csv",), True, {}).__enter__()
    (tmp_path / "out" / "a.json").mkdir()
    sink = marks.Sink(tmp_path / "out", META, ("json",), True, {})
    with sink, pytest.raises(PredictError, match="a.json: Is a directory"):
        sink.write("a.jpg", "a", IMAGE, [face()])


# --- overlays ---------------------------------------------------------------------------------


def scaled(points, factor):
    """A face of points on a circle, enlarged with its picture."""
    made = face()
    return made._replace(points=(made.points + 0.5) * factor - 0.5)


@pytest.mark.parametrize(
    "size, factor, expected",
    [
        ((60, 50), 1.0, (640, 533)),  # a small picture is enlarged
        ((1200, 1000), 20.0, (1200, 1000)),
        ((1200, 1000), 4.0, (2500, 2083)),  # a face of 96 px, until it is 200
        ((1200, 1000), 0.1, (4096, 3413)),  # but no larger than that
        ((6000, 5000), 100.0, (4096, 3413)),
    ],
)
def test_an_overlay_is_as_large_as_its_points_need(size, factor, expected):
    image = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
    made = marks.drawn(image, [scaled(face(), factor)], SCHEMES["ibug68"])
    assert np.abs(np.array(made.shape[1::-1]) - expected).max() <= 2
    assert (image == 90).all()


def test_points_lie_in_the_overlay_where_they_lie_in_the_picture():
    points = np.full((N, 2), 5.0)
    points[30] = [40.0, 20.0]  # alone at some distance
    made = marks.drawn(0 * IMAGE, [face()._replace(points=points)], None).astype(float)
    factor = made.shape[1] / 60  # more than ten
    left = round(20 * factor)
    ys, xs = np.nonzero(made[:, left:].sum(axis=-1) > 300)
    assert (xs.mean() + left + 0.5) / factor - 0.5 == pytest.approx(40.0, abs=0.1)
    assert (ys.mean() + 0.5) / factor - 0.5 == pytest.approx(20.0, abs=0.1)


def test_unsure_landmarks_are_drawn_in_another_colour():
    def count(sure):
        made = marks.drawn(IMAGE, [face(sure=sure)], SCHEMES["ibug68"])
        return (np.abs(made.astype(int) - marks.overlay.UNSURE).max(axis=-1) < 40).sum()

    assert count(0.49) > 100 * count(0.5)  # a few px of other colours look alike


def test_an_overlay_file_is_a_picture(tmp_path):
    with marks.Sink(tmp_path, META, (), True, {}) as sink:
        sink.write("a.jpg", "a", IMAGE, [face()])
    with Image.open(tmp_path / "a.overlay.jpg") as image:
        assert image.size == (640, 533) and image.mode == "RGB"
