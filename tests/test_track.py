import csv
import re
import tracemalloc

import moving_blob as blob
import numpy as np
import pandas as pd
import pytest

from study import __main__ as cli, track, training, weights
from study.config import TrainingConfig
from study.datasets import video
from study.marking import follower
from study.standin.face import draw, sample_face


@pytest.fixture
def networks(monkeypatch):
    """A double of the weights' file: a tracker of bright squares."""
    made = []

    def load(path, lam=None):
        made.append((path, lam))
        return blob.Tracker(), blob.TRACKER_META

    monkeypatch.setattr(weights, "load", load)
    return made


def moving(count):
    """Boxes that move to and fro."""
    return [blob.square(30 + round(18 * np.sin(t / 8)), 20) for t in range(count)]


def tracked(tmp_path, boxes, name="clip.avi", **options):
    """Writes a video of boxes, follows it, and returns the summary and the table."""
    blob.write(tmp_path / name, boxes)
    summary = run(tmp_path / name, tmp_path / "out", **options)
    return summary, table(tmp_path / "out")


def run(path, out, **options):
    settings = {"progress": False, "find": blob.find, **options}
    return track.run(path, "w.safetensors", out, **settings)


def table(out, name="clip"):
    return pd.read_csv(out / f"{name}.landmarks.csv", keep_default_na=False)


def points(rows):
    """(T, 68, 2) of a table's rows."""
    return rows.iloc[:, 6:].to_numpy(dtype=float).reshape(-1, 68, 2)


def count_frames(path):
    return sum(1 for _ in video.frames(path))


def test_a_video_becomes_a_row_and_an_overlay_frame_for_each_frame(networks, tmp_path):
    boxes = moving(13)
    summary, rows = tracked(tmp_path, boxes)
    assert (summary.frames, summary.found, summary.trouble) == (13, 13, "")
    assert list(rows["frame"]) == list(range(13))
    assert np.allclose(rows["time_s"], np.arange(13) / 10.0)  # 10 frames/s
    assert set(rows["face"]) == {0} and set(rows["found"]) == {1}
    assert list(rows["reset"]) == ["start", *[""] * 12]
    assert rows["confidence"].between(0.9, 1.01).all()
    for one, box in zip(points(rows), boxes, strict=True):
        assert np.allclose(follower.tight_box(one), box, atol=1.5)
    overlay = tmp_path / "out" / "clip.overlay.mp4"
    assert count_frames(overlay) == 13
    about = video.probe(overlay)
    assert (about.width, about.height, about.fps) == (blob.WIDTH, blob.HEIGHT, 10.0)
    assert summary.files == [tmp_path / "out" / "clip.landmarks.csv", overlay]


def test_the_table_holds_the_points_to_a_hundredth_of_a_pixel(tmp_path):
    expected = 300 * np.random.default_rng(0).random((68, 2)) - 5
    found = follower.Found(expected, 0.81234, "cut")
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([track.header(68), track.row(41, 1.64, found, 68)])
    rows = pd.read_csv(tmp_path / "a.csv")
    assert np.abs(points(rows)[0] - expected).max() <= 0.005001
    assert list(rows.iloc[0, :6]) == [41, 1.64, 0, 1, "cut", 0.812]
    assert list(rows.columns[6:10]) == ["x0", "y0", "x1", "y1"]
    assert rows.columns[-1] == "y67"


def test_the_overlay_shows_the_face_and_can_be_left_out(networks, tmp_path):
    tracked(tmp_path, moving(3))
    for before, after in zip(
        video.frames(tmp_path / "clip.avi"),
        video.frames(tmp_path / "out" / "clip.overlay.mp4"),
        strict=True,
    ):
        assert np.abs(before.astype(int) - after).max() > 100  # lines
        assert np.abs(before[:, :8].astype(int) - after[:, :8]).max() < 40
    summary = run(tmp_path / "clip.avi", tmp_path / "bare", draw=False)
    assert [file.name for file in (tmp_path / "bare").iterdir()] == ["clip.landmarks.csv"]
    assert summary.files == [tmp_path / "bare" / "clip.landmarks.csv"]


def test_odd_sizes_are_no_fault(networks, tmp_path):
    with video.Writer(tmp_path / "clip.avi", 10.0, 97, 73) as writer:
        for box in moving(3):
            writer.write(blob.frame(box, shape=(73, 97)))
    assert run(tmp_path / "clip.avi", tmp_path / "out").found == 3
    assert count_frames(tmp_path / "out" / "clip.overlay.mp4") == 3


def test_a_face_that_leaves_and_returns_is_counted(networks, tmp_path):
    boxes = [*moving(4), None, None, None, *moving(3), None, *moving(2)]
    summary, rows = tracked(tmp_path, boxes)
    assert list(rows["found"]) == [1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1]
    assert summary.resets == {"start": 1, "lost": 2, "returned": 2}
    assert summary.found == 9 and not summary.trouble
    gone = rows[rows["found"] == 0]
    assert (gone.iloc[:, 5:] == "").all(axis=None)  # neither confidence nor points
    assert "13 frames, 9 with a face; resets: 2 lost, 2 returned, 1 start" in str(summary)


def test_a_cut_is_a_reset(networks, tmp_path):
    with video.Writer(tmp_path / "clip.avi", 10.0, blob.WIDTH, blob.HEIGHT) as writer:
        for dark in (40, 40, 40, 110, 110):
            writer.write(blob.frame(blob.square(30, 20), dark=dark))
    assert run(tmp_path / "clip.avi", tmp_path / "out").resets == {"start": 1, "cut": 1}
    assert list(table(tmp_path / "out")["reset"]) == ["start", "", "", "cut", ""]


def test_a_video_without_a_face_says_so_and_keeps_its_rows(networks, tmp_path):
    summary, rows = tracked(tmp_path, [None] * 4)
    assert summary.trouble.endswith("clip.avi: no face found in 4 frames")
    assert list(rows["found"]) == [0, 0, 0, 0] and list(rows["reset"]) == [""] * 4
    assert count_frames(tmp_path / "out" / "clip.overlay.mp4") == 4


def test_a_cut_off_video_keeps_what_was_read(networks, tmp_path):
    blob.write(tmp_path / "whole.avi", moving(30))
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(data[: len(data) * 2 // 3])
    summary = run(tmp_path / "clip.avi", tmp_path / "out")
    assert 5 < summary.frames < 30
    assert f"clip.avi: damaged after {summary.frames} frames" in summary.trouble
    assert len(table(tmp_path / "out")) == summary.frames
    assert count_frames(tmp_path / "out" / "clip.overlay.mp4") == summary.frames


def test_frames_of_another_size_further_down_keep_what_was_read(networks, tmp_path, monkeypatch):
    blob.write(tmp_path / "clip.avi", moving(3))
    shapes = [(blob.HEIGHT, blob.WIDTH), (blob.HEIGHT, blob.WIDTH), (60, 80)]
    monkeypatch.setattr(
        video, "frames", lambda _: (blob.frame(blob.square(30, 20), shape=s) for s in shapes)
    )
    summary = run(tmp_path / "clip.avi", tmp_path / "out")
    assert summary.trouble.endswith("damaged after 2 frames: 80x60 px after 160x120")
    assert len(table(tmp_path / "out")) == 2


def test_rows_are_on_disk_as_soon_as_they_are_known(networks, tmp_path):
    seen = []

    def find(image, fine=True):
        files = list((tmp_path / "out").glob("*.csv"))
        seen.append(len(table(tmp_path / "out")) if files else 0)
        return []

    tracked(tmp_path, [None] * 5, find=find)
    assert seen == [0, 1, 2, 3, 4]


def test_an_interruption_keeps_what_is_there(networks, tmp_path):
    calls = iter(range(99))

    def find(image, fine=True):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return []

    summary, rows = tracked(tmp_path, [None] * 6, find=find)
    assert summary.trouble.endswith("interrupted after 3 frames")
    assert len(rows) == 3 and count_frames(tmp_path / "out" / "clip.overlay.mp4") == 3


def test_the_summary_tells_speed_and_shares(networks, tmp_path):
    summary, _ = tracked(tmp_path, moving(5))
    shares = [summary.stages[name] / summary.seconds for name in follower.STAGES]
    assert set(summary.stages) == set(follower.STAGES)
    assert all(share > 0 for share in shares) and sum(shares) <= 1
    speed, *named = re.fullmatch(
        r"([\d.]+) frames/s: decoding (\d+)%, finding (\d+)%, cropping (\d+)%, detection (\d+)%, "
        r"refinement (\d+)%, writing (\d+)%",
        str(summary).splitlines()[1],
    ).groups()
    assert float(speed) == pytest.approx(5 / summary.seconds, abs=0.06)
    assert [int(n) for n in named] == [round(100 * share) for share in shares]


def test_a_progress_bar_counts_frames(networks, tmp_path, capsys):
    tracked(tmp_path, moving(5), progress=True)
    assert re.search(r"clip\.avi: 100%.* 5/5 .*frame", capsys.readouterr().err)


def test_memory_does_not_grow_with_the_video(networks, tmp_path):
    def peak(count):
        blob.write(tmp_path / f"{count}.avi", [*moving(count - 1), None])
        tracemalloc.start()
        try:
            run(tmp_path / f"{count}.avi", tmp_path / "out", draw=False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20)  # what is made once, is made now
    frame = 3 * blob.HEIGHT * blob.WIDTH  # bytes
    assert peak(240) - peak(60) < 3 * frame


def test_lambda_reaches_the_weights(networks, tmp_path):
    tracked(tmp_path, moving(2), lam=0.25)
    assert networks == [("w.safetensors", 0.25)]


def test_without_a_file_the_weights_that_ship_are_taken(networks, tmp_path, capsys):
    blob.write(tmp_path / "a.avi", moving(2))
    for arguments in ([], ["--weights", "own.safetensors"]):
        command(capsys, tmp_path / "a.avi", "--out", tmp_path / "out", *arguments)
    assert networks == [(None, None), ("own.safetensors", None)]


def test_a_folder_that_cannot_be_is_named(networks, tmp_path):
    blob.write(tmp_path / "clip.avi", moving(2))
    (tmp_path / "file").write_text("")
    with pytest.raises(track.TrackError, match="file"):
        run(tmp_path / "clip.avi", tmp_path / "file")
    (tmp_path / "out" / "clip.landmarks.csv").mkdir(parents=True)
    with pytest.raises(track.TrackError, match="landmarks.csv: Is a directory"):
        run(tmp_path / "clip.avi", tmp_path / "out")


# --- the command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory):
    """Weights of a small detector that nobody has trained."""
    config = TrainingConfig("detector1d", size=32, length=24, channels=8, depth=1)
    file = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    model = training.build_model(config, 68)
    weights.save(file, model, weights.Meta("detector1d", config, 68))
    return file


def command(capsys, *arguments):
    """Exit code, standard output, and the message after "error: " of a `track` command."""
    capsys.readouterr()
    code = cli.main(["track", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err.rpartition("error: ")[2].strip()


@pytest.mark.parametrize(
    "content, cause", [(None, "no such file"), (b"", "empty file"), (b"no video" * 40, "not a")]
)
def test_what_is_no_video_is_one_line_and_leaves_nothing(
    detector_file, tmp_path, capsys, content, cause
):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    code, out, message = command(
        capsys, path, "--weights", detector_file, "--out", tmp_path / "out"
    )
    assert code == 1 and out == ""
    assert message.startswith(f"{path}: ") and cause in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_unusable_weights_and_decoders_are_one_line(detector_file, tmp_path, capsys):
    blob.write(tmp_path / "a.mp4", moving(2))
    arguments = [tmp_path / "a.mp4", "--out", tmp_path / "out", "--weights"]
    code, _, message = command(capsys, *arguments, tmp_path / "none.safetensors")
    assert (code, message) == (1, f"{tmp_path / 'none.safetensors'}: no such file")
    code, _, message = command(capsys, *arguments, detector_file, "--decoder", "best")
    assert code == 1 and message.startswith("decoder 'best' is unknown")
    code, _, message = command(capsys, *arguments, detector_file, "--lam", 0.5)
    assert code == 1 and "a detector alone" in message


def test_a_face_is_followed_with_the_real_face_detector(tmp_path, capsys, monkeypatch):
    """A rendered face moves; a network that knows its points from the frame's own marks."""
    image, truth = draw(sample_face(np.random.default_rng(1), "common"), 200)
    tight = np.array([*truth.min(axis=0), *truth.max(axis=0)])
    with video.Writer(tmp_path / "a.mp4", 25.0, 320, 240) as writer:
        for t in range(4):
            frame = np.full((240, 320, 3), 90, dtype=np.uint8)
            frame[20:220, 40 + 3 * t : 240 + 3 * t] = image
            writer.write(frame)
    looked = []
    real = follower.look

    def look(frame, box, meta):
        looked.append(np.asarray(box))
        return real(frame, box, meta)

    tracker = blob.Tracker()
    tracker.detector = lambda images: blob.marginal_targets(
        (blob.layout() * 25.6 + 15.5).float()[None], 32, 96, sigma=4.0  # as if well cropped
    )
    monkeypatch.setattr(weights, "load", lambda path, lam=None: (tracker, blob.TRACKER_META))
    monkeypatch.setattr(follower, "look", look)
    code, out, _ = command(
        capsys, tmp_path / "a.mp4", "--weights", "w.safetensors", "--out", tmp_path / "out"
    )
    assert code == 0 and "4 frames, 4 with a face; resets: 1 start" in out
    assert np.abs(looked[0] - (tight + [40, 20, 40, 20])).max() < 0.2 * (tight[3] - tight[1])
    assert len(looked) == 5  # twice in the first frame, once in the others


def test_an_untrained_detector_sees_no_face_and_the_command_says_so(
    detector_file, tmp_path, capsys
):
    blob.write(tmp_path / "a.mp4", moving(3))
    code, out, message = command(
        capsys, tmp_path / "a.mp4", "--weights", detector_file, "--out", tmp_path / "out"
    )
    assert (code, message) == (1, f"{tmp_path / 'a.mp4'}: no face found in 3 frames")
    assert "no refinement by past frames" in out
    assert list(table(tmp_path / "out", "a")["found"]) == [0, 0, 0]
