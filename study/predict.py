"""Landmarks of the faces in photographs: `python -m study predict IMAGE|DIR... --out DIR`.

    from study import predict

    marker = predict.Marker()
    faces = marker("photo.jpg")
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from study import confidence, device as devices, training, weights as weight_files
from study.heatmaps import DECODERS
from study.landmarks import SCHEMES
from study.marking import faces, look, marks, photos
from study.marking.marks import PredictError

BATCH = 64  # faces a pass; a crowd takes several
# Mean confidence below which a found face is none. Among 300W's held-out training photographs, the
# least sure of 185 annotated faces that were found has 0.50; of 12 other places that were found,
# seven have 0.58 or more, and five 0.11 or less.
NO_FACE = 0.3
PASSES = 2  # best on held-out faces, as is mirroring: notebook 13. Of weights for tight boxes
LARGEST = 10  # side of a box in longer sides of the picture


class Face(NamedTuple):
    """A marked face, in px of the upright picture: 0-based, pixel centres at integers.

    Attributes:
        points: (N, 2).
        confidence: (N,), for each landmark the probability that it lies within the share of the
            eyes' distance that the weights' calibration says. Of weights without calibration: the
            lower of its two peaks, which is 1 for a sure one and no probability.
        box: (4,) x1, y1, x2, y2, where the landmarks' tight box was expected: the given one, or
            that of the found face.
        score: of the face detector; None where the box was given.
    """

    points: np.ndarray
    confidence: np.ndarray
    box: np.ndarray
    score: float | None


class Marker:
    """Marks the faces of pictures.

    Args:
        weights: a file as `weights.save` writes it; None is the one that ships with the study.
        decoder: a key of DECODERS; None takes the weights' own.
        mirror: whether to mark each face in the mirrored picture as well, and to average: twice
            the time, and of a mirrored picture exactly the mirrored points. None does so where
            the scheme is known.
        passes: how often the network looks at a face: from the second time on, its crop is
            placed by the points of the time before. None is PASSES, and once for weights whose
            boxes were annotated: these are not the points' tight ones.
        find: function from a picture to boxes, as `faces.find_all`.

    Raises:
        WeightsError: unusable weights.
        PredictError: no such decoder, fewer passes than one, more than one with weights whose
            boxes were annotated, or mirroring with weights of a scheme that is not known.
    """

    def __init__(
        self, weights=None, *, decoder=None, mirror=None, passes=None, find=faces.find_all
    ):
        model, self.meta = weight_files.load(weights)
        self.decoder = decoder or self.meta.config.decoder
        if self.decoder not in DECODERS:
            known = ", ".join(DECODERS)
            raise PredictError(f"decoder {self.decoder!r} is unknown; there are {known}")
        self.passes = self._passes(passes)
        if mirror and self.scheme is None:
            raise PredictError(f"scheme {self.meta.scheme!r} is unknown, and so its mirror order")
        self.mirror = self.scheme is not None if mirror is None else mirror
        self.find = find
        self.device = devices.choose()
        model = self.device.place(model)
        self.tracker = model if self.meta.kind == "tracker1d" else None
        self.detector = model if self.tracker is None else model.detector

    def _passes(self, passes):
        again = self.meta.box == "points"  # a later look is placed by the points' tight box
        if passes is None:
            return PASSES if again else 1
        if passes < 1:
            raise PredictError(f"passes is {passes}; the network looks once at least")
        if passes > 1 and not again:
            raise PredictError(
                f"passes is {passes}; these weights look once, at a box as it was annotated, "
                "which the points do not give"
            )
        return passes

    @property
    def scheme(self):
        """The `landmarks.Scheme` of the points; None where SCHEMES has it not."""
        return SCHEMES.get(self.meta.scheme)

    def placement(self):
        """Where the landmarks of a found face lie: a `faces.Placement`.

        Raises:
            PredictError: the weights do not say; boxes have to be given.
        """
        try:
            return look.placement(self.meta)
        except ValueError as error:
            raise PredictError(str(error)) from error

    def __call__(self, image, boxes=None):
        """The faces of a picture.

        Args:
            image: a path (see `photos.read`), a Pillow image (turned upright as its orientation
                tag says, see `photos.to_rgb`), or (H, W, 3) uint8 RGB.
            boxes: (B, 4) or (4,) x1, y1, x2, y2: tight boxes of the faces' landmarks (of the 68:
                from the brows to the chin, from ear to ear), px of the upright picture; of
                weights whose boxes were annotated, boxes as those. None searches for faces.

        Returns:
            list of Face: one a box in the boxes' order, or all found ones, the largest first;
            where calibrated weights hold what was found for no face, it is left out.

        Raises:
            PhotoError: a file that cannot be read.
            ValueError: what is no picture, or boxes that cannot be a face's in it.
            PredictError: boxes are needed: the weights do not say where the landmarks of a found
                face lie.
        """
        image = as_rgb(image)
        if boxes is None:
            boxes, scores = self._search(image)
            return [face for face in self._faces(image, boxes, scores) if self._is_face(face)]
        boxes = require_boxes(boxes, image.shape)
        return self._faces(image, boxes, [None] * len(boxes))

    def _is_face(self, face):
        """Whether what was found is a face by its landmarks, as far as weights can tell."""
        return self.meta.calibration is None or face.confidence.mean() >= NO_FACE

    def _faces(self, image, boxes, scores):
        """A Face for each of some boxes (B, 4)."""
        if not len(boxes):
            return []
        points, sure = self._mark(image, boxes)
        near = boxes
        for _ in range(self.passes - 1):
            near = closer(near, points, image.shape)
            points, sure = self._mark(image, near)
        return [Face(*face) for face in zip(points, sure, boxes, scores, strict=True)]

    def _search(self, image):
        """Expected tight boxes (B, 4) of the faces that are found, and their scores."""
        place, found = self.placement(), self.find(image)
        tight = [faces.tight_box(box, place) for box in found]
        return np.array(tight).reshape(-1, 4), [box.score for box in found]

    def _mark(self, image, boxes):
        """Points (B, N, 2) px of the image and confidences (B, N)."""
        points, sure = self._look(image, boxes)
        if not self.mirror:
            return points, sure
        width, order = image.shape[1], list(self.scheme.mirror)
        corners = mirrored(boxes.reshape(-1, 2, 2), width)  # the left one is the right one now
        other, also = self._look(image[:, ::-1], corners.reshape(-1, 4)[:, [2, 1, 0, 3]])
        other, also = mirrored(other, width)[:, order], also[:, order]
        return (points + other) / 2, (sure + also) / 2

    @torch.inference_mode()
    def _look(self, image, boxes):
        """As `_mark`, of the image as it is."""
        points, sure = [], []
        for first in range(0, len(boxes), BATCH):
            images, to_image = look.look_at_all(image, boxes[first : first + BATCH], self.meta)
            images = self.device.move(images).contiguous(memory_format=torch.channels_last)
            heatmaps = self.detector(images)
            sure.append(self._confidence(*heatmaps).double().cpu().numpy())
            if self.tracker is not None:
                heatmaps, _ = self.tracker.refine(*heatmaps)
            found = training.decode(heatmaps, self.meta.config, self.decoder)
            points.append(to_image(found.cpu()))
        return np.concatenate(points), np.concatenate(sure)

    def _confidence(self, h_x, h_y):
        if self.meta.calibration is not None:
            return self.meta.calibration(h_x, h_y)
        return confidence.peaks(h_x, h_y)[..., 0]


def as_rgb(image):
    """A picture as (H, W, 3) uint8, from what a Marker takes."""
    if isinstance(image, str | Path):
        return photos.read(image)
    if isinstance(image, Image.Image):
        return photos.to_rgb(image)
    known = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
    fits = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
    if not fits or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image is {known[0]} {known[1]}; expected (H, W, 3) uint8")
    return image


def mirrored(points, width):
    """Points (..., 2) in the mirrored picture, in their order."""
    return np.stack([width - 1 - points[..., 0], points[..., 1]], axis=-1)


def require_boxes(boxes, shape):
    """Boxes as (B, 4) float64, each of which can be a face's in a picture (height, width, ...).

    Raises:
        ValueError: not so many numbers, not finite, empty, outside the picture or far larger.
    """
    boxes = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    if not boxes.size:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes are {boxes.shape}, not (B, 4)")
    height, width = shape[:2]
    for box in boxes:
        said = ", ".join(f"{value:g}" for value in box)
        if not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            raise ValueError(f"box {said}: x1, y1, x2, y2 with x1 < x2 and y1 < y2 are wanted")
        outside = (box[2:] < -0.5).any() or (box[:2] > [width - 0.5, height - 0.5]).any()
        if outside or (box[2:] - box[:2]).max() > LARGEST * max(height, width):
            raise ValueError(f"box {said}: outside the {width}x{height} px, or far larger")
    return boxes


def closer(boxes, points, shape):
    """The tight boxes of points (B, N, 2); where one can be no face's, the box (4,) as it was."""
    tight = (look.tight_box(one) for one in points)
    pairs = zip(boxes, tight, strict=True)
    return np.stack([new if look.can_be_face(new, shape) else old for old, new in pairs])


# --- many pictures ----------------------------------------------------------------------------


@dataclass
class Summary:
    """What became of the pictures.

    Attributes:
        out: folder of the results.
        images, faces: pictures that were read, and faces marked in them.
        empty: pictures without a face.
        troubles: what could not be read or marked, one line each, naming file and cause.
        written: dict from a kind of file to how many.
        notes: what else to know.
    """

    out: Path
    images: int = 0
    faces: int = 0
    empty: list = field(default_factory=list)
    troubles: list = field(default_factory=list)
    written: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)

    def __str__(self):
        total = self.images + len(self.troubles)
        lines = [f"not read: {line}" for line in self.troubles]
        lines += [f"no face: {name}" for name in self.empty] + self.notes
        files = ", ".join(f"{count} {kind}" for kind, count in self.written.items() if count)
        lines.append(
            f"{total} images, {self.faces} faces, {len(self.empty)} without a face, "
            f"{len(self.troubles)} not read"
        )
        return "\n".join([*lines, f"written to {self.out}: {files or 'nothing'}"])


def run(
    paths,
    out,
    *,
    weights=None,
    boxes=None,
    decoder=None,
    mirror=None,
    passes=None,
    formats=marks.FORMATS,
    draw=True,
    progress=True,
    find=faces.find_all,
):
    """Marks the faces of photographs, and writes what it finds as it goes; see `marks`.

    A picture that cannot be read is noted, and the others go on.

    Args:
        paths: photographs, and folders that are searched with all below them (see
            `photos.in_folder`); in natural order.
        out: folder, made where it is missing. What a file of the results replaces, is a file of
            the same name there; nothing is deleted.
        weights, decoder, mirror, passes, find: as for Marker.
        boxes: None searches for faces. Or one box x1, y1, x2, y2 that holds in all pictures, or
            the path of a list of boxes (see `marks.read_boxes`); pictures that it does not name
            are searched.
        formats: which of `marks.FORMATS` to write.
        draw: whether to write overlays.
        progress: whether to show a progress bar where there are several pictures.

    Returns:
        Summary.

    Raises:
        WeightsError: unusable weights.
        PredictError: what Marker says, an unusable list of boxes, nothing that can be written to
            `out`, or a file beside a photograph that would be replaced.
    """
    summary = Summary(Path(out))
    marker = Marker(weights, decoder=decoder, mirror=mirror, passes=passes, find=find)
    images = marks.named(paths, out, summary.troubles)
    given = _given_boxes(boxes, images, summary)
    if len(given) < len(images):
        marker.placement()  # raises before any work
    marks.require_free(images, out, boxes)
    with ExitStack() as stack:
        sink = stack.enter_context(marks.Sink(out, marker.meta, formats, draw, summary.written))
        bar = tqdm(images.items(), unit="image", disable=not progress or len(images) < 2)
        try:
            for path, name in bar:
                _one(path, name, marker, given.get(path), sink, summary)
        except KeyboardInterrupt:
            summary.troubles.append(f"interrupted after {summary.images} images")
    return summary


def _one(path, name, marker, boxes, sink, summary):
    try:
        image = photos.read(path)
        found = marker(image, boxes)
    except PredictError:
        raise
    except photos.PhotoError as error:
        summary.troubles.append(str(error))
    except ValueError as error:
        summary.troubles.append(f"{path}: {error}")
    else:
        summary.images += 1
        summary.faces += len(found)
        if not found:
            summary.empty.append(str(path))
        sink.write(path, name, image, found)


def _given_boxes(boxes, images, summary):
    """A dict from path to (B, 4) boxes, of those pictures whose faces are not searched."""
    if boxes is None:
        return {}
    if isinstance(boxes, str | Path):
        given = marks.read_boxes(boxes, images)
        if len(given) < len(images):
            left = len(images) - len(given)
            summary.notes.append(f"{boxes} names {left} of the images not: searched for faces")
        return given
    try:
        box = np.asarray(boxes, dtype=np.float64).reshape(4)
    except (TypeError, ValueError):
        raise PredictError(f"box {boxes}: not the four numbers x1, y1, x2, y2") from None
    return dict.fromkeys(images, box)
