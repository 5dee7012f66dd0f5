"""Tests of study.datasets.formats."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from w300_folder import cut_off, invented_image

from study.datasets.formats import image_size, read_image, read_pts, write_pts

HAND_TYPED = "version: 1\nn_points:  3\n{\n1 1\n3.5 2.25\n-4.000000 640.125\n}\n"
HAND_POINTS = [[0, 0], [2.5, 1.25], [-5, 639.125]]  # the file is 1-based, we are 0-based

same_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def write(tmp_path, text):
    path = tmp_path / "1_1.pts"
    path.write_bytes(text.encode())
    return path


def test_a_hand_typed_file_is_read_0_based(tmp_path):
    points = read_pts(write(tmp_path, HAND_TYPED))
    assert points.dtype == np.float64
    assert points.tolist() == HAND_POINTS


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("version: 1\n", "version: 1.0\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace(" ", "   ").replace("{", "{ ").replace("\n3.5", "\n\t 3.5"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("n_points:  3", "n_points: 3"),
        lambda text: text.replace("version: 1\n", ""),
        lambda text: "\ufeff" + text,
    ],
    ids=["crlf", "1.0", "no newline", "spaces", "blank lines", "one space", "no version", "bom"],
)
def test_variants_in_the_wild_give_the_same_points(tmp_path, change):
    changed = change(HAND_TYPED)
    assert changed != HAND_TYPED
    assert read_pts(write(tmp_path, changed)).tolist() == HAND_POINTS


@pytest.mark.parametrize(
    "text, cause",
    [
        ("", "empty file"),
        (" \n\n", "empty file"),
        (HAND_TYPED.replace("points:  3", "points:  4"), "n_points says 4, the file has 3 points"),
        (HAND_TYPED.replace("1 1\n", ""), "n_points says 3, the file has 2 points"),
        (HAND_TYPED.replace("points:  3", "points:  x"), "line 2: n_points is 'x'"),
        (HAND_TYPED.replace("n_points:  3\n", ""), "no n_points line"),
        (HAND_TYPED.replace("3.5 2.25", "3.5 two"), "line 5: '3.5 two' is not two numbers"),
        (HAND_TYPED.replace("3.5 2.25", "3.5"), "line 5: 1 values, not two"),
        (HAND_TYPED.replace("3.5 2.25", "3.5 2 1"), "line 5: 3 values, not two"),
        (HAND_TYPED.replace("3.5 2.25", "nan 2.25"), "line 5: 'nan 2.25' is not finite"),
        (HAND_TYPED.replace("3.5 2.25", "3.5 -inf"), "line 5: '3.5 -inf' is not finite"),
        (HAND_TYPED.replace("{\n", ""), "no opening brace"),
        (HAND_TYPED.replace("}\n", ""), "no closing brace"),
        (HAND_TYPED + "5 5\n", "line 8 stands after the closing brace"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_cause(tmp_path, text, cause):
    path = write(tmp_path, text)
    with pytest.raises(ValueError) as error:
        read_pts(path)
    assert str(error.value).startswith(f"{path}: {cause}")


def test_a_binary_file_is_refused_as_no_text(tmp_path):
    path = tmp_path / "._1.pts"
    path.write_bytes(b"\x00\x05\x16\xff\xfe")
    with pytest.raises(ValueError, match="not a text file"):
        read_pts(path)


def test_a_written_file_has_the_official_layout(tmp_path):
    write_pts(tmp_path / "1.pts", [[0, 0.5], [-1.25, 99]])
    expected = b"version: 1\nn_points:  2\n{\n1.000000 1.500000\n-0.250000 100.000000\n}\n"
    assert (tmp_path / "1.pts").read_bytes() == expected


@same_file
@given(arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=st.floats(-1e4, 1e4)))
def test_writing_and_reading_gives_the_points_back_to_six_decimals(tmp_path, points):
    write_pts(tmp_path / "1.pts", points)
    read = read_pts(tmp_path / "1.pts")
    assert read.shape == points.shape
    np.testing.assert_allclose(read, points, rtol=0, atol=5.1e-7)


@same_file
@given(st.text(st.sampled_from("{}\n\r 0123456789.-en_points:x"), max_size=80))
def test_any_text_is_read_or_refused_with_a_value_error_that_names_the_file(tmp_path, text):
    path = write(tmp_path, text)
    try:
        points = read_pts(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")
    else:
        assert points.shape[1:] == (2,) and np.isfinite(points).all()


@pytest.mark.parametrize("points", [np.zeros((4, 3)), np.zeros(4), [[0, np.nan]], [[np.inf, 0]]])
def test_points_that_no_file_may_hold_are_not_written(tmp_path, points):
    with pytest.raises(ValueError, match="points are"):
        write_pts(tmp_path / "1.pts", points)
    assert not (tmp_path / "1.pts").exists()


# An image of 3 x 2 px whose colours every mode below can hold.
PIXELS = np.array([[[0] * 3, [255] * 3, [0] * 3], [[255] * 3, [255] * 3, [0] * 3]], dtype=np.uint8)


@pytest.mark.parametrize(
    "mode, name",
    [
        ("RGB", "a.png"),
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.png"),
        ("LA", "a.png"),
        ("RGBA", "a.png"),
        ("CMYK", "a.tif"),
    ],
)
def test_every_colour_mode_is_read_as_rgb(tmp_path, mode, name):
    Image.fromarray(PIXELS).convert(mode).save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.mode == mode
    image = read_image(tmp_path / name)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), PIXELS)
    assert image_size(tmp_path / name) == (3, 2)


def test_an_orientation_tag_turns_nothing(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # "rotate by 90 degrees to view"
    invented_image(width=40, height=24).save(tmp_path / "plain.jpg")
    invented_image(width=40, height=24).save(tmp_path / "tagged.jpg", exif=exif)
    assert image_size(tmp_path / "tagged.jpg") == (40, 24)
    plain, tagged = read_image(tmp_path / "plain.jpg"), read_image(tmp_path / "tagged.jpg")
    assert np.array_equal(np.asarray(plain), np.asarray(tagged))


def test_16_bit_images_are_refused_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((4, 5), 40000, dtype=np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_image_passes_by_its_header_and_fails_when_decoded(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    invented_image(width=40, height=24).save(path)
    cut_off(path)
    assert image_size(path) == (40, 24)
    with pytest.raises(ValueError) as error:
        read_image(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("read", [image_size, read_image])
@pytest.mark.parametrize("data, cause", [(b"", "empty file"), (b"GIF? no", "not an image")])
def test_what_is_no_image_is_refused_with_its_name_and_the_cause(tmp_path, read, data, cause):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {cause}")
