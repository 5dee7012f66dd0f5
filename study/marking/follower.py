"""One face, followed from frame to frame by its own landmarks.

Each frame is cropped by the landmarks of the frame before; the face detector is asked only where
there are none. Nothing of a frame is kept but a thumbnail, so that memory does not grow with the
video. One face is followed, the largest that is found.

A face's past, both its place and the tracker's state, is thrown away in two cases, and the face
is then searched anew, from this very frame on:

    cut     the picture changes too much from one frame to the next to be the same scene
    lost    the detector is not sure that its crop shows a face, or its landmarks cannot be those
            of the face that was there a frame ago
"""

import time
from collections import Counter
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
import torch

from study import training, weights as weight_files
from study.heatmaps import DECODERS
from study.marking import faces
from study.marking.look import can_be_face, look, placement, tight_box

# Mean absolute difference, of full scale 1, between the thumbnails of two consecutive frames.
# Above CUT it is a cut: two 300W training photographs differ by more in 99 of 100 pairs, a camera
# that moves by 3 % of the picture a frame, zooms by 1 % and turns by 2 degrees by less in 99 of
# 100. Above the lower JUMP it is one where it is also SUDDEN times what was usual before: on
# stills in motion with flicker, the hardest of the three kinds, that never exceeded 3.7.
CUT, JUMP, SUDDEN = 0.16, 0.05, 5.0
THUMBNAIL = 32  # px
# Share of the usual confidence below which a crop shows no face. Measured with a 1D detector
# (F=64, five epochs) on the 193 validation faces of 300W: 0.68 at least, in 99 of 100 more than
# 0.78; on 300 crops of stand-in backgrounds 0.54 at most in 95 of 100, 0.69 at most.
LOST = 0.55
USUAL = 0.74  # of that detector, for files that do not say
GROWTH = 1.6  # of the side of the landmarks' box, either way; in a frame no face comes so near
MEMORY = 25  # frames for which the place of a face that is gone is still looked at
FINE_EVERY = 5  # while there is no face, every so many-th frame is also searched for small ones
STAGES = ("decoding", "finding", "cropping", "detection", "refinement", "writing")


class TrackError(ValueError):
    """A tracking that did not end well; what it wrote until then is kept."""


class Clock:
    """Seconds spent in each stage."""

    def __init__(self):
        self.seconds = Counter()

    @contextmanager
    def on(self, stage):
        """Counts the block's time for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start


class Found(NamedTuple):
    """What a frame shows.

    Attributes:
        points: (N, 2) px of the image, or None where there is no face.
        confidence: of the detector, or None where there is no face.
        reset: why the past was thrown away in this frame: "cut" or "lost"; or, where there was
            none, "start" for the first face and "returned" for one after frames without; else "".
    """

    points: np.ndarray | None
    confidence: float | None
    reset: str


class Scene:
    """Watches the frames for cuts; `cuts_to` takes the next frame."""

    def __init__(self):
        self.last = None  # thumbnail of the last frame
        self.usual = None  # difference between the frames of this scene, the last ones most

    def cuts_to(self, image):
        """Whether this frame, (H, W, 3) uint8, is of another scene than the one before."""
        small = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        before, self.last = self.last, small.astype(np.float32) / 255
        if before is None:
            return False
        difference = float(np.abs(self.last - before).mean())
        if is_cut(difference, self.usual):
            self.usual = None
            return True
        self.usual = difference if self.usual is None else (self.usual + difference) / 2
        return False


def is_cut(difference, usual):
    """Whether a difference between thumbnails is a cut's, given the usual one (None: unknown)."""
    sudden = usual is not None and difference > SUDDEN * usual
    return difference > CUT or (sudden and difference > JUMP)


def can_follow(before, after):
    """Whether two tight boxes (4,) can be of one face in two consecutive frames.

    The side changes by less than GROWTH, and the centre moves by less than half the side.
    """
    side, later = ((box[2:] - box[:2]).max() for box in (before, after))
    moved = np.abs((after[:2] + after[2:]) - (before[:2] + before[2:])).max() / 2
    return bool(1 / GROWTH < later / side < GROWTH and moved < side / 2)


class Follower:
    """Follows one face, frame by frame; `step` takes the next frame.

    Attributes that it keeps from frame to frame: the face's tight box (None: no face), the last
    such `place`, the tracker's state (None: no past), the scene, and counts.

    Args:
        model: a Tracker1D or Detector1D in evaluation mode, on the device.
        meta: its `weights.Meta`.
        device: a `study.device.Device`.
        decoder: a key of DECODERS; None takes the configuration's.
        find: function(image, fine) -> boxes, the largest first, as `faces.find`.
        clock: a Clock, or None.

    Raises:
        TrackError: weights that do not say where the landmarks of a found face lie, or no such
            decoder.
    """

    def __init__(self, model, meta, device, *, decoder=None, find=faces.find, clock=None):
        self.decoder = decoder or meta.config.decoder
        if self.decoder not in DECODERS:
            known = ", ".join(DECODERS)
            raise TrackError(f"decoder {self.decoder!r} is unknown; there are {known}")
        try:
            self.placement = placement(meta)
        except ValueError as error:
            raise TrackError(str(error)) from error
        self.meta, self.device = meta, device
        self.tracker = model if meta.kind == "tracker1d" else None
        self.detector = model if self.tracker is None else model.detector
        self.find, self.clock = find, clock or Clock()
        self.threshold = LOST * (meta.confidence or USUAL)
        self.box = self.place = self.state = None
        self.scene = Scene()
        self.missed = 0  # frames since the last one with a face

    @torch.inference_mode()
    def step(self, image):
        """The landmarks of the next frame, (H, W, 3) uint8 RGB, as a Found."""
        reset, seen = "", None
        if self.scene.cuts_to(image) and self.box is not None:
            reset = self._forget("cut")
        if self.box is not None:
            seen = self._follow(image)
            if seen is None:
                reset = self._forget("lost")
        if seen is None:
            seen = self._search(image)
            if seen is not None and not reset:
                reset = "start" if self.place is None else "returned"
        if seen is None:
            self.missed += 1
            return Found(None, None, reset)
        self.box = self.place = tight_box(seen.points)
        self.state, self.missed = seen.state, 0
        return Found(seen.points, seen.confidence, reset)

    def _forget(self, reason):
        self.box = self.state = None
        return reason

    def _follow(self, image):
        """A _Seen by the last frame's landmarks, or None where the face is lost."""
        seen = self._refine(self._detect(image, self.box), self.state, image.shape)
        if seen is None or not can_follow(self.box, tight_box(seen.points)):
            return None
        return seen

    def _search(self, image):
        """A _Seen without past: the largest face that face detector and network agree on, or None.

        The place of a face that was there just now is looked at last: what seems a cut may be a
        flash, and what hid the face may be gone while it is turned too far for the face detector.
        """
        with self.clock.on("finding"):
            boxes = self.find(image, self.missed % FINE_EVERY == 0)
        candidates = [faces.tight_box(box, self.placement) for box in boxes]
        if self.place is not None and self.missed < MEMORY:
            candidates.append(self.place)
        settled = (self._settle(image, box) for box in candidates)
        return next((seen for seen in settled if seen is not None), None)

    def _settle(self, image, box):
        """A _Seen near a box that says only roughly where the face is, or None.

        The network looks twice: at the box, and then at its own landmarks.
        """
        first = self._detect(image, box)
        if first is None:
            return None
        closer = tight_box(first.points(first.heatmaps))
        return self._refine(self._detect(image, closer), None, image.shape)

    def _detect(self, image, box):
        """A _Look at a box, or None where it shows no face."""
        if not can_be_face(box, image.shape):
            return None
        with self.clock.on("cropping"):
            images, to_image = look(image, box, self.meta)
        with self.clock.on("detection"):
            images = self.device.move(images).contiguous(memory_format=torch.channels_last)
            heatmaps = self.detector(images)
            confidence = weight_files.confidence(*heatmaps).item()
        if not confidence >= self.threshold:  # so written, a NaN is no face either
            return None
        return _Look(heatmaps, confidence, lambda h: to_image(self._decode(h)))

    def _refine(self, found, state, shape):
        """A _Seen from a _Look and the past, or None; a bare detector has nothing to refine."""
        if found is None:
            return None
        with self.clock.on("refinement"):
            heatmaps = found.heatmaps
            if self.tracker is not None:
                heatmaps, state = self.tracker.refine(*heatmaps, state)
            points = found.points(heatmaps)
        possible = can_be_face(tight_box(points), shape)
        return _Seen(points, found.confidence, state) if possible else None

    def _decode(self, heatmaps):
        return training.decode(heatmaps, self.meta.config, self.decoder).cpu()


class _Look(NamedTuple):
    """What the detector sees in a crop, and a function from heatmaps to points of the image."""

    heatmaps: tuple
    confidence: float
    points: object


class _Seen(NamedTuple):
    """A face in a frame: points (N, 2) px of the image, and the tracker's state after it."""

    points: np.ndarray
    confidence: float
    state: tuple | None
