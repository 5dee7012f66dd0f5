"""Tests of study.datasets.w300vw."""

import json
import shutil

import numpy as np
import pytest
from video_folder import VIDEOS, cut_after, points_of, write_300vw, write_clip, write_video
from w300_folder import HEIGHT, WIDTH, invented_points

from study.datasets import load, w300vw
from study.datasets.formats import write_pts
from study.datasets.index import COLUMNS, DatasetError
from study.datasets.w300vw import BROKEN, FOLDERS, absent, annotations, occluded, read


@pytest.fixture
def root(tmp_path):
    return write_300vw(tmp_path / "300VW")


def problems(root):
    """Problems of a folder that must not load, as {file: cause}."""
    with pytest.raises(DatasetError) as error:
        load("300VW", root)
    found = {problem.file: problem.cause for problem in error.value.problems}
    assert len(found) == len(error.value.problems)
    return found


# The published lists


def test_the_official_lists_hold_50_and_31_19_14_videos_and_the_published_frames():
    counts = {part.subset: (part.split, part.videos, part.official) for part in FOLDERS}
    assert counts == {
        "train": ("train", 50, 95_192),
        "S1": ("test", 31, 62_846),
        "S2": ("test", 19, 32_872),
        "S3": ("test", 14, 27_687),
    }
    assert len(w300vw.VIDEOS) == 114
    assert (w300vw.VIDEOS["001"], w300vw.VIDEOS["401"], w300vw.VIDEOS["562"]) == (
        *("train", "S1", "S3"),
    )


def test_the_official_frames_less_the_broken_ones_are_those_that_others_score():
    left = {part.subset: part.official for part in FOLDERS}
    for video, frames in BROKEN.items():
        left[w300vw.VIDEOS[video]] -= len(frames)
    assert sum(map(len, BROKEN.values())) == 2127
    assert (left["S1"], left["S2"], left["S3"]) == (62_135, 32_805, 26_338)  # SBR's numbers
    assert 731 in BROKEN["401"] and 732 not in BROKEN["401"] and min(BROKEN["411"]) == 19


def test_broken_frames_lie_within_their_videos_counted_from_1():
    rows = {row["video"]: row["frames"] for row in w300vw._published("300vw_videos")}
    for video, frames in BROKEN.items():
        assert 1 <= min(frames) and max(frames) <= int(rows[video])


# The index


def test_the_index_has_one_row_a_frame_in_official_order(root):
    index = load("300VW", root)
    assert tuple(index.columns) == COLUMNS
    order = ["001", "004", "114", "401", "203"]
    assert list(index["video"].unique()) == order
    assert list(index["id"])[2:5] == ["001/vid#3", "001/vid#4", "004/vid#1"]
    for video in order:
        assert index["frame"][index["video"] == video].tolist() == list(range(1, VIDEOS[video] + 1))
    assert index.groupby("subset").size().to_dict() == {"train": 7, "S1": 8, "S2": 2}
    assert set(index["split"][index["subset"] == "train"]) == {"train"}
    assert set(index["split"][index["subset"] != "train"]) == {"test"}
    assert (index["photograph"] == index["video"]).all()
    assert (index["image"] == index["video"] + "/vid.avi").all()


def test_points_are_those_of_the_frames_file_and_0_based(root):
    index = load("300VW", root).set_index("id")
    np.testing.assert_allclose(index["points"]["114/vid#2"], points_of("114", 2), atol=1e-6)
    np.testing.assert_allclose(index["points"]["401/vid#3"], points_of("401", 3), atol=1e-6)
    assert index["visible"]["401/vid#3"].shape == (68,)


def test_broken_frames_are_left_out_unless_asked_for(tmp_path):
    root = write_300vw(tmp_path / "300VW", {"508": 16, "001": 2})  # frame 14 of 508 is broken
    write_pts(root / "508/annot/000014.pts", np.zeros((68, 2)))  # and need not be readable
    index = read(root)
    assert 14 not in set(index["frame"]) and len(index) == 15 + 2
    with pytest.raises(DatasetError, match="000014.pts: the points span no area"):
        read(root, keep_broken=True)
    write_pts(root / "508/annot/000014.pts", invented_points())
    assert len(read(root, keep_broken=True)) == 16 + 2


def test_a_folder_with_lists_of_its_own_has_its_own_splits_and_loses_no_frame(tmp_path):
    splits = {"all": ["508", "clip_a"], "train": ["clip_a"], "test_category3": ["508", "gone"]}
    root = write_300vw(tmp_path / "300VW", {"508": 14, "clip_a": 3}, splits)
    index = load("300VW", root)
    assert index.groupby("subset").size().to_dict() == {"train": 3, "S3": 14}
    assert absent(root) == {"train": [], "S1": None, "S2": None, "S3": ["gone"]}


def test_a_source_names_the_photograph_of_a_clip(root):
    (root / "sources.csv").write_text("video,photograph\r\n114,helen/100032540\r\n")
    index = load("300VW", root)
    assert set(index["photograph"][index["video"] == "114"]) == {"helen/100032540"}
    assert set(index["photograph"][index["video"] == "401"]) == {"401"}


def test_a_part_of_the_videos_is_enough_and_the_rest_is_absent(root):
    shutil.rmtree(root / "203")
    assert set(load("300VW", root)["subset"]) == {"train", "S1"}
    missing = absent(root)
    assert missing["S2"] is None and missing["S3"] is None
    assert len(missing["train"]) == 48 and missing["train"][:2] == ["002", "003"]
    assert "114" not in missing["S1"] and len(missing["S1"]) == 29


def test_files_that_are_not_of_the_set_are_passed_over(root):
    (root / "001/annot/._000001.pts").write_bytes(b"\x00\x05\x16\x07")
    (root / "001/annot/Thumbs.db").write_bytes(b"\xd0\xcf")
    (root / "001/imgs").mkdir()
    (root / "ReadMe.txt").write_text("read me")
    (root / "extra").mkdir()
    assert len(load("300VW", root)) == sum(VIDEOS.values())


def test_loading_does_not_decode_beyond_the_first_frame(root):
    cut_after(root / "114/vid.avi", 2)
    assert len(load("300VW", root)) == sum(VIDEOS.values())


# What is wrong


def test_a_missing_or_empty_root_is_named(tmp_path):
    assert problems(tmp_path / "nowhere") == {str(tmp_path / "nowhere"): "no such folder"}
    assert problems(tmp_path) == {str(tmp_path): "none of the 114 listed videos is here"}


def test_all_bad_files_are_listed_at_once_each_with_its_cause(root):
    write_clip(root, "002", 2)
    (root / "002/vid.avi").write_bytes(b"")
    write_clip(root, "003", 2)
    (root / "003/vid.avi").write_text("no video\n" * 50)
    (root / "001/vid.avi").unlink()
    shutil.rmtree(root / "004/annot")
    (root / "114/annot/000005.pts").unlink()
    (root / "401/annot/000002.pts").write_bytes(b"version: 1\r\nn_points: 68\r\n{\r\n1 2\r\n")
    (root / "401/annot/notes.pts").write_text("")
    write_pts(root / "203/annot/000001.pts", invented_points()[:67])
    write_pts(root / "203/annot/000002.pts", invented_points() + [3 * WIDTH, 0])
    (root / "007").mkdir()
    write_clip(root, "999", 2)
    beyond = invented_points()[:, 0].max() + 3 * WIDTH - (WIDTH - 0.5)
    assert problems(root) == {
        "001/annot": "annotations without the video vid.avi",
        "002/vid.avi": "empty file",
        "003/vid.avi": "not a video, or a damaged one",
        "004/vid.avi": "a video without its annotations annot",
        "007": "neither vid.avi nor annot",
        "114/annot": "4 annotations, but 114/vid.avi has 5 frames",
        "401/annot/000002.pts": "no closing brace",
        "401/annot/notes.pts": "the name is no frame number",
        "203/annot/000001.pts": "67 points, not 68",
        "203/annot/000002.pts": f"points up to {beyond:.0f} px outside the {WIDTH}x{HEIGHT} image",
        "999": "a video that is in no list; splits.json can name it",
    }


def test_annotations_that_count_from_0_or_skip_a_frame_are_told(root):
    (root / "001/annot/000004.pts").rename(root / "001/annot/000000.pts")
    (root / "114/annot/000003.pts").rename(root / "114/annot/000006.pts")
    for file in (root / "004/annot").iterdir():
        file.unlink()
    assert problems(root) == {
        "001/annot": "4 annotations, numbered 0 to 3, not from 1 on",
        "004/annot": "no annotation",
        "114/annot": "5 annotations, numbered 1 to 6, not from 1 on",
    }


def test_two_annotations_of_one_frame_are_told(root):
    shutil.copy(root / "001/annot/000002.pts", root / "001/annot/2.pts")
    (cause,) = problems(root).values()
    assert cause == "a second annotation beside 001/annot/000002.pts"


@pytest.mark.parametrize(
    "text, cause",
    [
        ("{", "Expecting property name"),
        ("[]", "no lists by name"),
        ('{"test": ["001"]}', "no such list: test; there are train, test_category1"),
        ('{"train": "001"}', "train is no list of folder names"),
        ('{"train": ["../300W"]}', "train is no list of folder names"),
        ('{"train": ["001"], "test_category2": ["001"]}', "001 is listed twice"),
    ],
)
def test_lists_that_cannot_be_are_told(root, text, cause):
    (root / "splits.json").write_text(text)
    (found,) = problems(root).items()
    assert found[0] == "splits.json" and cause in found[1]
    assert set(absent(root).values()) == {None}
    with pytest.raises(DatasetError, match="splits.json"):
        w300vw.videos(root)


@pytest.mark.parametrize(
    "text, cause",
    [
        ("", "the first line is not video,photograph"),
        ("001,helen/1\n", "the first line is not video,photograph"),
        ("video,photograph\n001\n", "line 2: 1 values, not 2"),
        ("video,photograph\n999,helen/1\n", "line 2: '999' is in no list"),
        ("video,photograph\n001,helen/1\n001,helen/2\n", "line 3: 001: listed twice"),
        ("video,photograph\n001,\n", "line 2: 001: no photograph"),
    ],
)
def test_sources_that_cannot_be_are_told(root, text, cause):
    (root / "sources.csv").write_text(text)
    assert problems(root) == {"sources.csv": cause}


# Sidecars


def test_what_is_hidden_is_read_frame_by_frame(root):
    (root / "114/occluded.csv").write_text("frame,landmark\n2,0\n5,67\n2,0\n")
    hidden = occluded(root, "114", 5)
    assert hidden.shape == (5, 68) and hidden.dtype == bool
    assert np.argwhere(hidden).tolist() == [[1, 0], [4, 67]]  # row k - 1 is frame k
    assert occluded(root, "001", 4) is None
    (root / "001/occluded.csv").write_text("frame,landmark\n")
    assert not occluded(root, "001", 4).any()


@pytest.mark.parametrize("line", ["0,3", "6,3", "1,68", "1,-1", "1.5,3", ",", "one,two"])
def test_a_frame_or_landmark_that_is_not_there_is_told_with_its_line(root, line):
    (root / "114/occluded.csv").write_text(f"frame,landmark\n1,2\n{line}\n")
    with pytest.raises(DatasetError, match=r"114/occluded.csv: line 3: .* frame from 1 to 5"):
        occluded(root, "114", 5)
    assert list(problems(root)) == ["114/occluded.csv"]


def test_annotations_are_found_by_frame_whatever_their_order_on_disk(root):
    files, bad = annotations(root, "114")
    assert list(files.items())[:2] == [(1, "114/annot/000001.pts"), (2, "114/annot/000002.pts")]
    assert len(files) == 5 and bad == []


def test_a_video_that_does_not_say_how_many_frames_it_has_is_taken_at_its_annotations(
    root, monkeypatch
):
    shape = w300vw.video.Video(WIDTH, HEIGHT, 25.0, None)
    monkeypatch.setattr(w300vw.video, "probe", lambda path: shape)
    (root / "114/annot/000005.pts").unlink()
    assert len(load("300VW", root)) == sum(VIDEOS.values()) - 1


def test_more_frames_than_annotations_are_told(root):
    write_video(root / "114/vid.avi", 6)
    assert problems(root) == {"114/annot": "5 annotations, but 114/vid.avi has 6 frames"}


def test_the_official_file_of_lists_is_one_that_can_be_read(root):
    lists = {key: [] for key in w300vw.SUBSETS}
    for video, subset in w300vw.VIDEOS.items():
        lists[next(k for k, s in w300vw.SUBSETS.items() if s == subset)].append(video)
    (root / "splits.json").write_text(json.dumps({"all": sorted(w300vw.VIDEOS), **lists}))
    assert len(load("300VW", root)) == sum(VIDEOS.values())
