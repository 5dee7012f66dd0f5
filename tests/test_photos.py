import os

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import ExifTags, Image, features

from study.marking import photos

# What a camera that was held so has stored of an upright picture, by orientation tag.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def levels(height=5, width=7, channels=3):
    """A picture without symmetry, (H, W, C) uint8."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def saved(path, image, **options):
    """Writes a picture, an array or a Pillow image, and returns its path."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, **options)
    return path


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", STORED)
def test_each_orientation_tag_is_turned_upright(tmp_path, tag):
    upright, exif = Image.fromarray(levels()), Image.Exif()
    exif[ExifTags.Base.Orientation] = tag
    stored = upright if STORED[tag] is None else upright.transpose(STORED[tag])
    read = photos.read(saved(tmp_path / "a.png", stored, exif=exif))
    assert np.array_equal(read, levels())


@pytest.mark.parametrize("tag", [0, 9, 300])
def test_an_orientation_that_is_none_of_the_eight_turns_nothing(tmp_path, tag):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = tag
    assert np.array_equal(photos.read(saved(tmp_path / "a.png", levels(), exif=exif)), levels())


def test_damaged_tags_turn_nothing(tmp_path):
    file = saved(tmp_path / "a.png", levels(), exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\xffdamaged")
    assert np.array_equal(photos.read(file), levels())


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK", "HSV"])
def test_colours_stay_whatever_the_mode(mode):
    light = np.where(levels()[..., :1] < 128, 0, 255).astype(np.uint8).repeat(3, axis=2)
    image = Image.fromarray(light).convert(mode)
    assert np.array_equal(photos.to_rgb(image), light)


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(levels(channels=1)[..., 0] % 3, mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    read = photos.read(saved(tmp_path / "a.png", image))
    table = np.array([[255, 0, 0], [0, 255, 0], [10, 20, 30]])
    assert np.array_equal(read, table[levels(channels=1)[..., 0] % 3])


def test_a_print_shops_jpeg_is_about_what_it_was(tmp_path):
    flat = np.full((16, 24, 3), (200, 120, 40), dtype=np.uint8)
    file = saved(tmp_path / "a.jpg", Image.fromarray(flat).convert("CMYK"), quality=95)
    assert np.abs(photos.read(file).astype(int) - flat).max() <= 3


def test_what_is_transparent_lies_on_white(tmp_path):
    picture = np.full((2, 3, 4), (10, 20, 30, 0), dtype=np.uint8)
    picture[0, :, 3] = [0, 255, 51]  # 51 of 255 is a fifth
    read = photos.read(saved(tmp_path / "a.png", picture))
    assert np.abs(read[0].astype(int) - [[255] * 3, [10, 20, 30], [206, 208, 210]]).max() <= 1
    assert (read[1] == 255).all()


def test_a_transparent_colour_of_a_palette_lies_on_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 0]], dtype=np.uint8), mode="P")
    image.putpalette([1, 2, 3, 4, 5, 6])
    read = photos.read(saved(tmp_path / "a.gif", image, transparency=0))
    assert read.tolist() == [[[255] * 3, [4, 5, 6], [255] * 3]]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_of_sixteen_bits_the_upper_eight_are_taken(tmp_path, ending):
    deep = np.array([[0, 255, 256, 4095], [32768, 65279, 65280, 65535]], dtype=np.uint16)
    read = photos.read(saved(tmp_path / f"a.{ending}", deep))
    assert np.array_equal(read, (deep >> 8).astype(np.uint8)[..., None].repeat(3, axis=2))


def test_levels_beyond_sixteen_bits_and_of_no_known_range_are_named(tmp_path):
    file = saved(tmp_path / "a.tif", np.array([[0, 70000]], dtype=np.int32))
    with pytest.raises(photos.PhotoError, match="a.tif: levels from 0 to 70000: more than 16"):
        photos.read(file)
    file = saved(tmp_path / "b.tif", np.array([[0, 0.5]], dtype=np.float32))
    with pytest.raises(photos.PhotoError, match="b.tif: floating-point levels"):
        photos.read(file)


def test_of_several_pictures_the_first_is_read(tmp_path):
    first, second = Image.fromarray(levels()), Image.fromarray(255 - levels())
    file = saved(tmp_path / "a.tif", first, save_all=True, append_images=[second])
    assert np.array_equal(photos.read(file), levels())


def test_a_pillow_image_is_not_written_into():
    image = Image.fromarray(levels())
    image.getexif()[ExifTags.Base.Orientation] = 6
    turned = photos.to_rgb(image)
    assert turned.shape == (7, 5, 3)
    assert np.array_equal(np.asarray(image), levels())
    assert image.getexif()[ExifTags.Base.Orientation] == 6


def test_a_name_of_another_kind_is_no_fault(tmp_path):
    saved(tmp_path / "a.png", levels()).rename(tmp_path / "a.jpg")
    assert np.array_equal(photos.read(tmp_path / "a.jpg"), levels())


# --- what cannot be read ----------------------------------------------------------------------


def trouble(path):
    """The cause, in one line after the path, why a photograph cannot be read."""
    with pytest.raises(photos.PhotoError) as caught:
        photos.read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)[len(f"{path}: ") :]


def test_what_is_no_photograph_is_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic")
    (tmp_path / "round.jpg").symlink_to(tmp_path / "round.jpg")
    assert trouble(tmp_path / "none.jpg") == "no such file"
    assert trouble(tmp_path / "empty.jpg") == "empty file"
    assert trouble(tmp_path / "text.png") == "not an image, or a damaged one"
    assert trouble(tmp_path / "phone.heic") == "HEIF, which is not read: save it as JPEG"
    assert trouble(tmp_path) == "a folder"
    assert "symbolic links" in trouble(tmp_path / "round.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    assert trouble(tmp_path / "a.jpg") == "not a file"


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_a_cut_off_file_is_named(tmp_path, ending, share):
    file = saved(tmp_path / f"a.{ending}", levels(60, 80))
    data = file.read_bytes()
    file.write_bytes(data[: round(len(data) * share)])
    assert trouble(file)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is built without AVIF")
def test_a_damaged_avif_is_named(tmp_path):
    file = saved(tmp_path / "a.avif", levels(20, 30))
    file.write_bytes(file.read_bytes().replace(b"iloc", b"loci"))
    assert "Failed to decode" in trouble(file)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of small pictures of several formats, and the bytes that they should hold."""
    folder = tmp_path_factory.mktemp("photos")
    names = ("a.jpg", "a.png", "a.webp", "a.tif", "a.gif", "a.bmp", "a.ppm", "a.tga", "a.jp2")
    made = [saved(folder / name, levels(20, 30)) for name in names]
    return [(file, file.read_bytes()) for file in made]


@given(
    number=st.integers(0, 8),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    near=st.booleans(),
)
def test_a_damaged_file_is_named_or_gives_a_picture(files, number, changes, near):
    file, data = files[number]
    damaged = bytearray(data)
    for place, value in changes:  # half of them where the headers are
        damaged[int(place * min(len(data), 64 if near else len(data)))] = value
    file.write_bytes(damaged)
    try:
        read = photos.read(file)
    except photos.PhotoError as error:
        assert str(error).startswith(f"{file}: ")
    else:
        assert read.dtype == np.uint8 and read.ndim == 3 and read.shape[2] == 3


def test_a_picture_above_the_limit_is_refused_and_one_at_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "LIMIT", 35)
    assert photos.read(saved(tmp_path / "a.png", levels(5, 7))).shape == (5, 7, 3)
    assert trouble(saved(tmp_path / "b.png", levels(6, 6))).startswith("6x6 are")


def test_our_limit_holds_in_place_of_pillows_which_is_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    file = saved(tmp_path / "a.png", levels())
    assert photos.read(file).shape == (5, 7, 3)
    trouble(tmp_path / "none.png")
    assert Image.MAX_IMAGE_PIXELS == 4


def test_too_little_memory_is_named(tmp_path, monkeypatch):
    def load(*_):
        raise MemoryError

    monkeypatch.setattr(photos, "to_rgb", load)
    assert trouble(saved(tmp_path / "a.png", levels())) == "more than the memory holds"


# --- which files ------------------------------------------------------------------------------


def test_names_are_sorted_as_people_count():
    names = ["b/1.jpg", "IMG10.jpg", "img2.jpg", "img02.jpg", "a.jpg", "10.jpg", "9.jpg", "b.jpg"]
    expected = ["9.jpg", "10.jpg", "a.jpg", "b/1.jpg", "b.jpg", "img02.jpg", "img2.jpg"]
    assert sorted(names, key=photos.natural) == [*expected, "IMG10.jpg"]


@given(st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]))))
def test_any_names_can_be_sorted(names):
    names = [name for name in names if name]
    assert sorted(sorted(names, key=photos.natural), key=photos.natural) == sorted(
        names, key=photos.natural
    )


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, **options):
    """Names below a folder of what is found there, and the troubles."""
    files, troubles = photos.in_folder(folder, **options)
    return [file.relative_to(folder).as_posix() for file in files], troubles


def test_photographs_are_found_below_and_nothing_else(tmp_path):
    touched(tmp_path, "b10.JPG", "b9.jpeg", "c/d/1.png", "a.pts", "notes", ".hidden.jpg")
    touched(tmp_path, ".thumbs/a.jpg", "c/e.mp4", "out/x.jpg")
    assert found(tmp_path, without=tmp_path / "out") == (["b9.jpeg", "b10.JPG", "c/d/1.png"], [])


def test_links_to_folders_are_followed_once(tmp_path):
    touched(tmp_path, "in/a.jpg", "in/deep/b.jpg", "other/c.jpg")
    (tmp_path / "in" / "deep" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "other").symlink_to(tmp_path / "other")
    (tmp_path / "in" / "round.jpg").symlink_to(tmp_path / "in" / "round.jpg")
    names, troubles = found(tmp_path / "in")
    assert names == ["a.jpg", "deep/b.jpg", "other/c.jpg", "round.jpg"] and troubles == []


def test_a_folder_that_is_not_there_is_a_trouble(tmp_path):
    names, (trouble,) = found(tmp_path / "none")
    assert names == [] and trouble == f"{tmp_path / 'none'}: No such file or directory"
