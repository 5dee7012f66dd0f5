"""Tests of study.datasets.video."""

import gc
import os
import weakref
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from video_folder import cut_after, number_of, picture, write_video

from study.datasets import video
from study.datasets.video import CODECS, VideoError, Writer, frames, is_video, probe

COUNT, WIDTH, HEIGHT = 6, 46, 34  # T frames; unequal, and even for libx264
FILES = [("clip.avi", None), ("clip.mp4", None), ("clip.avi", "libx264"), ("clip.mp4", "mjpeg")]


@pytest.fixture(params=FILES, ids=lambda file: "-".join(map(str, file)))
def clip(request, tmp_path):
    name, codec = request.param
    return write_video(tmp_path / name, COUNT, WIDTH, HEIGHT, codec)


def message(path):
    with pytest.raises(VideoError) as error:
        list(frames(path))
    return str(error.value).removeprefix(f"{path}: ")


def good_frames(path):
    """(number of frames before an error, the error's message)."""
    count = 0
    with pytest.raises(VideoError) as error:
        for _ in frames(path):
            count += 1
    return count, str(error.value)


# Reading back what was written


def test_the_frames_come_back_in_order_and_nearly_as_they_were(clip):
    read = list(frames(clip))
    assert [number_of(frame) for frame in read] == [1, 2, 3, 4, 5, 6]
    for number, frame in enumerate(read, start=1):
        assert frame.shape == (HEIGHT, WIDTH, 3) and frame.dtype == np.uint8
        error = frame.astype(int) - picture(number, WIDTH, HEIGHT)
        assert abs(error).mean() < 2 and abs(error.mean()) < 1


def test_a_video_says_its_size_rate_and_number_of_frames(clip):
    assert probe(clip) == video.Video(WIDTH, HEIGHT, 25.0, COUNT)


def test_a_container_that_does_not_count_its_frames_says_none(tmp_path):
    path = tmp_path / "clip.mkv"
    encode(path, [picture(1, WIDTH, HEIGHT)] * 3)
    assert probe(path).frames is None and len(list(frames(path))) == 3


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])
def test_pure_colours_survive(tmp_path, codec, colour):
    with Writer(tmp_path / "clip.mp4", 25, 16, 18, codec) as writer:
        writer.write(np.full((18, 16, 3), colour, dtype=np.uint8))
    (frame,) = frames(tmp_path / "clip.mp4")
    assert abs(frame.astype(int) - colour).max() <= 3


@settings(max_examples=15, deadline=None)
@given(st.integers(16, 41), st.integers(16, 41))
def test_mjpeg_keeps_every_size_and_libx264_makes_it_even_by_its_last_row_and_column(
    tmp_path_factory, width, height
):
    folder = tmp_path_factory.mktemp("sizes")
    (frame,) = frames(write_video(folder / "clip.avi", 1, width, height))
    assert frame.shape == (height, width, 3)
    path = write_video(folder / "clip.mp4", 1, width, height)
    (frame,) = frames(path)
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert (probe(path).width, probe(path).height) == (width + width % 2, height + height % 2)
    margin = [(0, height % 2), (0, width % 2), (0, 0)]
    expected = np.pad(picture(1, width, height), margin, mode="edge")
    assert abs(frame.astype(int) - expected).mean() < 2.5
    assert abs(frame[-1].astype(int) - expected[-1]).mean() < 6
    assert abs(frame[:, -1].astype(int) - expected[:, -1]).mean() < 6


@pytest.mark.parametrize("fps, expected", [(25, 25.0), (29.97, 29.97), (30000 / 1001, 29.97003)])
def test_rates_come_back(tmp_path, fps, expected):
    for name in ("clip.avi", "clip.mp4"):
        path = write_video(tmp_path / name, 3, WIDTH, HEIGHT, fps=fps)
        assert probe(path).fps == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name, codec", FILES)
def test_the_same_frames_give_the_same_bytes(tmp_path, name, codec):
    first = write_video(tmp_path / name, COUNT, WIDTH, HEIGHT, codec).read_bytes()
    assert write_video(tmp_path / name, COUNT, WIDTH, HEIGHT, codec).read_bytes() == first
    other = write_video(tmp_path / name, COUNT - 1, WIDTH, HEIGHT, codec)
    assert other.read_bytes() != first


def test_names_with_signs_that_ffmpeg_reads_otherwise_are_only_names(tmp_path):
    path = write_video(tmp_path / "a: b%03d é.avi", 2, WIDTH, HEIGHT)
    assert probe(path).frames == 2 and len(list(frames(path))) == 2


def test_videos_are_told_from_stills_by_name():
    assert is_video("001/vid.avi") and is_video("A.MP4")
    assert not is_video("franck_00000.jpg") and not is_video("vid")


# Orientation


def encode(path, pictures, rotation=None, mirrored=False, codec="ffv1"):
    """A file whose frames are to be turned before they are shown, as telephones write them."""
    with av.open(str(path), "w") as container:
        height, width = pictures[0].shape[:2]
        stream = container.add_stream(codec, 25, width=width, height=height, pix_fmt="yuv444p")
        if rotation is not None:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for rgb in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_rotation_that_the_file_asks_for_is_applied(tmp_path, turns, mirrored):
    stored = picture(5, WIDTH, HEIGHT)
    encode(tmp_path / "clip.mp4", [stored] * 2, 90 * turns, mirrored, codec="libx264")
    expected = np.rot90(stored, turns)  # counterclockwise
    expected = expected[:, ::-1] if mirrored else expected
    for frame in frames(tmp_path / "clip.mp4"):
        assert frame.shape == expected.shape
        assert abs(frame.astype(int) - expected).mean() < 3
    shape = probe(tmp_path / "clip.mp4")
    assert (shape.height, shape.width) == expected.shape[:2]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_where_side_data_cannot_be_listed_the_angle_alone_is_applied(turns):
    class Unlisted:
        def get(self, name):
            raise ValueError("36 is not a valid Type")

    frame = SimpleNamespace(side_data=Unlisted(), rotation=90 * turns)
    stored = picture(5, WIDTH, HEIGHT)
    upright = video._upright(stored, video._orientation(frame))
    np.testing.assert_array_equal(upright, np.rot90(stored, turns))


# What cannot be read


@pytest.mark.parametrize(
    "content, cause",
    [
        (b"", "empty file"),
        (b"This is no video.\n" * 40, "not a video, or a damaged one"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nA subtitle\n", "no video stream in it"),
    ],
)
def test_what_is_no_video_is_named_with_its_cause(tmp_path, content, cause):
    path = tmp_path / "vid.avi"
    path.write_bytes(content)
    assert message(path) == cause
    with pytest.raises(VideoError, match=cause):
        probe(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert message(tmp_path / "vid.avi") == "no such file"
    assert message(tmp_path) == "a folder, not a video"


def test_a_video_cut_off_within_a_frame_gives_the_frames_before(tmp_path):
    path = write_video(tmp_path / "vid.avi", 12, WIDTH, HEIGHT)
    cut_after(path, 7, rest=300)
    assert good_frames(path) == (7, f"{path}: damaged after 7 frames: data is missing")
    assert probe(path).frames == 12


def test_a_video_cut_off_between_two_frames_says_how_many_it_should_have(tmp_path):
    path = write_video(tmp_path / "vid.avi", 8, WIDTH, HEIGHT)
    cut_after(path, 5)
    cause = "damaged after 5 frames: cut off, it says that it has 8"
    assert good_frames(path) == (5, f"{path}: {cause}")


def test_a_truncated_mp4_is_no_video(tmp_path):
    path = write_video(tmp_path / "vid.mp4", 8, WIDTH, HEIGHT)
    path.write_bytes(path.read_bytes()[:-200])
    assert message(path) == "not a video, or a damaged one"


def test_damage_that_the_decoder_would_paint_over_is_told(tmp_path):
    path = tmp_path / "vid.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 48, 3), dtype=np.uint8)
    with Writer(path, 25, 48, 64) as writer:
        for frame in noise:
            writer.write(frame)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    count, text = good_frames(path)
    assert 0 < count < 20 and f"damaged after {count} frames" in text


# Constant memory


def resident():
    """Bytes of this process in memory now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def uncollected():
    """No search for cycles, so that what only it would free stays and is seen."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc to read memory from")
def test_a_thousand_frames_need_no_more_memory_than_a_hundred(tmp_path, uncollected):
    path, blank = tmp_path / "vid.avi", np.zeros((96, 128, 3), dtype=np.uint8)  # 37 MB in all
    sizes = []
    with Writer(path, 25, 128, 96) as writer:
        for number in range(1000):
            writer.write(blank)
            if number in (100, 999):
                sizes.append(resident())
    for number, _ in enumerate(frames(path)):
        if number in (100, 999):
            sizes.append(resident())
    assert sizes[1] - sizes[0] < 8e6 and sizes[3] - sizes[2] < 8e6


def test_a_frame_is_an_array_of_its_own_and_is_not_kept(tmp_path):
    path = write_video(tmp_path / "vid.avi", COUNT, WIDTH, HEIGHT)
    untouched = list(frames(path))
    seen = []
    for number, frame in enumerate(frames(path)):
        np.testing.assert_array_equal(frame, untouched[number])
        frame[:] = 0
        assert sum(reference() is not None for reference in seen) <= 1
        seen.append(weakref.ref(frame))
    assert len(seen) == COUNT


def test_reading_may_stop_at_any_frame(tmp_path):
    path = write_video(tmp_path / "vid.avi", COUNT, WIDTH, HEIGHT)
    reading = frames(path)
    next(reading)
    reading.close()
    assert next(frames(path)).shape == (HEIGHT, WIDTH, 3)


# Writing


@pytest.mark.parametrize(
    "changes, cause",
    [
        ({"path": "clip.mkv"}, "the name must end in one of .avi, .mp4"),
        ({"codec": "h264"}, "no codec 'h264'; there are mjpeg, libx264"),
        ({"width": 0}, "0x34 px at 25 frames a second"),
        ({"fps": float("nan")}, "46x34 px at nan frames a second"),
        ({"path": "nowhere/clip.avi"}, "no folder to write it to"),
    ],
)
def test_what_cannot_be_written_is_refused_by_value(tmp_path, changes, cause):
    values = {"path": "clip.avi", "fps": 25, "width": WIDTH, "height": HEIGHT, **changes}
    with pytest.raises(VideoError) as error:
        Writer(tmp_path / values.pop("path"), **values)
    assert str(error.value).endswith(cause)


@pytest.mark.parametrize(
    "frame", [np.zeros((WIDTH, HEIGHT, 3), np.uint8), np.zeros((HEIGHT, WIDTH, 3), np.float32)]
)
def test_frames_of_another_size_or_type_are_refused(tmp_path, frame):
    with pytest.raises(VideoError, match=r"not \(34, 46, 3\) uint8"):
        with Writer(tmp_path / "clip.avi", 25, WIDTH, HEIGHT) as writer:
            writer.write(frame)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4"])
@pytest.mark.parametrize("written", [0, 1, 3])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, name, written):
    old = write_video(tmp_path / name, 2, WIDTH, HEIGHT).read_bytes()
    with pytest.raises(RuntimeError, match="of the caller"):
        with Writer(tmp_path / name, 25, WIDTH, HEIGHT) as writer:
            for number in range(written):
                writer.write(picture(number, WIDTH, HEIGHT))
            raise RuntimeError("of the caller")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == old


def test_a_video_without_a_frame_is_refused(tmp_path):
    with pytest.raises(VideoError, match="no frame was written"):
        with Writer(tmp_path / "clip.avi", 25, WIDTH, HEIGHT):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_name_appears_when_the_file_is_complete(tmp_path):
    with Writer(tmp_path / "clip.avi", 25, WIDTH, HEIGHT) as writer:
        writer.write(picture(1, WIDTH, HEIGHT))
        assert not (tmp_path / "clip.avi").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["clip.avi"]


def test_a_frame_is_not_changed_by_writing_it(tmp_path):
    frame = picture(3, WIDTH, HEIGHT)
    frame.flags.writeable = False
    with Writer(tmp_path / "clip.avi", 25, HEIGHT, WIDTH) as writer:
        writer.write(frame.transpose(1, 0, 2))  # not contiguous
    (read,) = frames(tmp_path / "clip.avi")
    assert abs(read.astype(int) - frame.transpose(1, 0, 2)).max() <= 4
