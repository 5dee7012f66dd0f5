"""A video's landmarks: `python -m study track VIDEO --out DIR`.

Frames are read, followed and written one at a time, so that memory does not grow with the video.
"""

import csv
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from study import device as devices, weights as weight_files
from study.datasets import video
from study.landmarks import SCHEMES
from study.marking import faces, overlay
from study.marking.follower import STAGES, Clock, Follower, TrackError


@dataclass
class Summary:
    """What became of a video.

    Attributes:
        name: of the video's file.
        frames, found: frames read, and those with a face.
        resets: Counter of reasons.
        seconds: in all.
        stages: Counter of seconds by stage.
        files: what was written.
        notes: what to know about the result.
        trouble: what ended it early or makes it useless, or "".
    """

    name: str
    frames: int = 0
    found: int = 0
    resets: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    stages: Counter = field(default_factory=Counter)
    files: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    trouble: str = ""

    def __str__(self):
        resets = ", ".join(f"{count} {reason}" for reason, count in sorted(self.resets.items()))
        speed = self.frames / self.seconds if self.seconds else 0.0
        shares = ", ".join(f"{name} {self._share(name):.0%}" for name in STAGES)
        return "\n".join(
            [
                f"{self.name}: {self.frames} frames, {self.found} with a face; "
                f"resets: {resets or 'none'}",
                f"{speed:.1f} frames/s: {shares}",
                *self.notes,
                *(f"written: {file}" for file in self.files),
            ]
        )

    def _share(self, stage):
        return self.stages[stage] / self.seconds if self.seconds else 0.0


def run(path, weights, out, *, decoder=None, lam=None, draw=True, progress=True, find=faces.find):
    """Follows the face of a video; writes landmarks and overlay as it goes.

    Into `out`, for a video NAME.xyz:

        NAME.landmarks.csv   one row a frame: frame (from 0), time_s (frame / average frame rate),
                             face (always 0), found (0 or 1), reset (see Found), confidence, and
                             x0, y0, x1, y1 … in px of the frame, 0-based, empty without a face
        NAME.overlay.mp4     the frames with their landmarks drawn

    The rows are on disk as soon as they are known. A video that is damaged further down, and an
    interruption from the keyboard, end the run early and keep what is there.

    Args:
        path: the video, of any container that FFmpeg reads.
        weights: a file as `weights.save` writes it; None is the one that ships with the study.
        out: folder, made where it is missing.
        decoder: in place of the file's own.
        lam: λ in place of the file's own.
        draw: whether to write the overlay.
        progress: whether to show a progress bar.
        find: the face detector, see Follower.

    Returns:
        Summary; its `trouble` says what went wrong where something did.

    Raises:
        WeightsError: unusable weights.
        VideoError: nothing can be read from the video, or the overlay cannot be written.
        TrackError: weights of landmarks whose place in a found face is not known, no such
            decoder, or no folder to write to.
    """
    path, out = Path(path), Path(out)
    model, meta = weight_files.load(weights, lam=lam)
    about = video.probe(path)
    device, clock = devices.choose(), Clock()
    follower = Follower(device.place(model), meta, device, decoder=decoder, find=find, clock=clock)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackError(f"{out}: {error.strerror}") from None
    summary = Summary(path.name, stages=clock.seconds)
    if meta.kind != "tracker1d":
        summary.notes.append("the weights hold a detector alone: no refinement by past frames")
    start = time.perf_counter()
    with ExitStack() as stack:
        sinks = _Sinks(stack, out, path.stem, about.fps, draw, meta, summary)
        stream = stack.enter_context(closing(_readable(path, clock, summary)))
        bar = tqdm(stream, path.name, about.frames, unit="frame", disable=not progress)
        stack.callback(bar.close)
        try:
            for image in bar:
                found = follower.step(image)
                with clock.on("writing"):
                    sinks.write(image, found)
                _count(summary, found)
        except KeyboardInterrupt:
            summary.trouble = f"{path}: interrupted after {summary.frames} frames"
    summary.seconds = time.perf_counter() - start
    if summary.frames and not summary.found and not summary.trouble:
        summary.trouble = f"{path}: no face found in {summary.frames} frames"
    return summary


def _count(summary, found):
    summary.frames += 1
    summary.found += found.points is not None
    if found.reset:
        summary.resets[found.reset] += 1


def _readable(path, clock, summary):
    """The frames that can be read; what ends them early is noted as the summary's trouble."""
    shape = None
    with closing(video.frames(path)) as stream:
        while True:
            try:
                with clock.on("decoding"):
                    image = next(stream, None)
            except video.VideoError as error:
                summary.trouble = str(error)
                return
            if image is None:
                return
            if shape not in (None, image.shape):
                (height, width), (tall, wide) = shape[:2], image.shape[:2]
                summary.trouble = (
                    f"{path}: damaged after {summary.frames} frames: "
                    f"{wide}x{tall} px after {width}x{height}"
                )
                return
            shape = image.shape
            yield image


class _Sinks:
    """The CSV and the overlay of a video; both are made when the first frame is there."""

    def __init__(self, stack, out, name, fps, draw, meta, summary):
        self.stack, self.fps, self.meta, self.summary = stack, fps, meta, summary
        self.table = out / f"{name}.landmarks.csv"
        self.video = out / f"{name}.overlay.mp4" if draw else None
        self.file = self.writer = None

    def write(self, image, found):
        """One frame."""
        try:
            if self.file is None:
                self._open(image)
            number = self.summary.frames
            self._line(row(number, number / self.fps, found, self.meta.landmarks))
        except OSError as error:
            raise TrackError(f"{self.table}: {error.strerror}") from error
        if self.writer is not None:
            seen = found.points is not None
            scheme = SCHEMES.get(self.meta.scheme)
            self.writer.write(overlay.draw(image, found.points, scheme) if seen else image)

    def _open(self, image):
        self.file = self.stack.enter_context(open(self.table, "w", newline=""))
        self._line(header(self.meta.landmarks))
        self.summary.files.append(self.table)
        if self.video is not None:
            height, width = image.shape[:2]
            writer = video.Writer(self.video, self.fps, width, height)
            self.writer = self.stack.enter_context(writer)
            self.summary.files.append(self.video)

    def _line(self, values):
        csv.writer(self.file, lineterminator="\n").writerow(values)
        self.file.flush()


def header(landmarks):
    """The columns of the CSV of so many landmarks."""
    places = [f"{axis}{n}" for n in range(landmarks) for axis in "xy"]
    return ["frame", "time_s", "face", "found", "reset", "confidence", *places]


def row(frame, seconds, found, landmarks):
    """A frame's line of the CSV.

    Args:
        frame: its number, from 0.
        seconds: its time.
        found: a Found.
        landmarks: N.
    """
    start = [frame, f"{seconds:.4f}", 0, int(found.points is not None), found.reset]
    if found.points is None:
        return [*start, "", *[""] * (2 * landmarks)]
    values = (f"{value:.2f}" for value in found.points.reshape(-1).tolist())
    return [*start, f"{found.confidence:.3f}", *values]
