"""How far landmarks spread in each facial area (the paper's Fig. 5), on true landmarks alone.

The paper prints neither numbers nor the coordinates that it takes variances in; its faces are
"cropped from the bounding box and scaled to 256x256 pixels" (Section 5.1), which box it leaves
open. So the same variances are taken in four systems of coordinates, the crop first:

    crop      the profile's own square crop, scaled to 256 px. It is cut around the tight box of
              all landmarks, whose left, right and lower edges the contour makes: the crop itself
              holds the contour still along the longer side, and lets the rest move within.
    eyes      % of the eyes' distance, from the middle between the outer eye corners: a crop that
              the contour has no part in, but the eyes have
    aligned   the crop's px after each face is turned, scaled and moved onto the mean shape
    image     px of the image file, in which large faces in large images spread most
"""

from dataclasses import dataclass

import numpy as np

from study import claims, datasets, paper, tables
from study.landmarks import Scheme
from study.tables import temporal

CROP, EYES, ALIGNED, IMAGE = "crop", "eyes", "aligned", "image"
READINGS = {
    CROP: f"px of the {paper.SIZE} px crop",
    EYES: "% of the eyes' distance, from the eyes' middle",
    ALIGNED: f"px of the {paper.SIZE} px crop, faces aligned to their mean shape",
    IMAGE: "px of the image",
}
UNITS = {CROP: "px²", EYES: "%²", ALIGNED: "px²", IMAGE: "px²"}
AXES = ("x", "y")
CONTOUR = "contour"
WHOLE = "all"  # all the stills of a profile, or all scenarios of 300VW together
ON_VIDEO = "300VW all"  # as the paper's claims name it
DRAWS = 2000
FEW = 10
CORNERS = ("left eye, outer corner", "right eye, outer corner")


@dataclass(frozen=True)
class Shapes:
    """The true landmarks of B faces of one data set.

    Attributes:
        points: (B, N, 2) px of the image; NaN for a landmark that the face does not show.
        group: (B,) the photograph or video of each face: what a bootstrap draws.
        scheme: the `landmarks.Scheme` of the N landmarks.
        label: what the faces are, as it stands beside a number.
        subset: which of them.
        real: whether they are photographs or videos of a camera.
        box: (B, 4) tight box x1, y1, x2, y2 of the whole face, px of the image; None takes that of
            the landmarks that are shown.
        scale: side of the crop over the longer side of the box.
    """

    points: np.ndarray
    group: np.ndarray
    scheme: Scheme
    label: str
    subset: str = WHOLE
    real: bool = True
    box: np.ndarray | None = None
    scale: float = 1.25

    def __post_init__(self):
        count = len(self.points)
        if self.points.shape != (count, self.scheme.count, 2) or len(self.group) != count:
            raise ValueError(
                f"{self.points.shape} points and {len(self.group)} groups do not fit a scheme of "
                f"{self.scheme.count} landmarks"
            )


# --- which faces -------------------------------------------------------------------------------


def of_index(index, scheme, label, subset=WHOLE, *, real=True, scale=1.25):
    """`Shapes` of the rows of an index (see `study.datasets.index`), landmarks unseen as NaN."""
    seen = np.stack(list(index["visible"]))
    points = np.where(seen[..., None], np.stack(list(index["points"])), np.nan)
    return Shapes(
        points,
        index["photograph"].to_numpy(dtype=str),
        scheme,
        label,
        subset,
        real=real,
        box=np.stack(list(index["box"])),
        scale=scale,
    )


def of_profile(profile, stills, videos, aflw=None):
    """`Shapes` of all that a profile has: stills, test frames of videos, AFLW.

    Args:
        profile: a `config.Profile`.
        stills, videos, aflw: what `prepare.prepare`, `prepare_videos` and `prepare_aflw` give.
    """
    found = of_stills(profile, stills[0])
    found += of_videos(profile, {name: index for name, (index, _) in videos.items()})
    return found + (of_stills(profile, aflw[0], profile.aflw) if aflw else [])


def of_stills(profile, index, data=None):
    """`Shapes` of stills: all of them, then each subset.

    Args:
        profile: a `config.Profile`.
        index: a row a face; no image is needed.
        data: the `config.Data` that they are of; None is the profile's own.
    """
    data = data or profile.data
    scheme = datasets.reader(data.name).SCHEME
    parts = {WHOLE: index} | {name: index[index["subset"] == name] for name in _named(index)}
    options = dict(real=data.standin is None, scale=profile.crops.scale)
    return [of_index(rows, scheme, data.label, name, **options) for name, rows in parts.items()]


def of_videos(profile, indices):
    """`Shapes` of the test frames of a profile's videos, a data set each.

    Args:
        profile: a `config.Profile`.
        indices: data set -> its index, with every frame. Frames that the published list of 300VW
            calls broken are left out.
    """
    found = []
    for data in profile.videos:
        index, scheme = indices[data.name], datasets.reader(data.name).SCHEME
        rows = index[index["split"] == "test"]
        if data.real:
            rows = rows[~temporal.is_broken(rows)]
        subset = ON_VIDEO if data.name == "300VW" else data.name
        options = dict(real=data.real, scale=profile.crops.scale)
        if len(rows):
            found.append(of_index(rows, scheme, data.label, subset, **options))
    return found


def _named(index):
    """Distinct subsets in their order; none where there is but one."""
    names = list(dict.fromkeys(index["subset"]))
    return names if len(names) > 1 else []


# --- coordinates -------------------------------------------------------------------------------


def in_crop(shapes, size=paper.SIZE):
    """Landmarks in px of the square crop, as `datasets.crops.square` cuts it: (B, N, 2)."""
    box = shapes.box
    if box is None:
        box = np.concatenate([reduce(shapes.points, 1) for reduce in (np.nanmin, np.nanmax)], 1)
    low, high = box[:, None, :2], box[:, None, 2:]
    side = shapes.scale * (high - low).max(axis=-1, keepdims=True)  # px of the image
    # The middle of the square lies between the crop's pixels F/2 - 1 and F/2.
    return (shapes.points - (low + high) / 2) * (size / side) + (size - 1) / 2


def by_eyes(shapes):
    """Landmarks in % of the outer eye corners' distance, from the middle between them: (B, N, 2).

    NaN for a face that does not show both.
    """
    left, right = (shapes.points[:, n] for n in _corners(shapes.scheme))
    distance = np.linalg.norm(right - left, axis=-1)[:, None, None]  # px of the image
    return 100 * (shapes.points - ((left + right) / 2)[:, None]) / distance


def _corners(scheme):
    """The outer eye corners, also of a scheme whose errors are not normalised by them."""
    return scheme.eye_corners or tuple(scheme.names.index(name) for name in CORNERS)


def align(points, rounds=20):
    """Faces turned, scaled and moved onto their common mean shape (generalised Procrustes).

    A similarity in the plane is z -> a z + b of complex z = x + iy; the a that brings a centred
    face z closest to a centred mean m is <z, m> / <z, z>.

    Args:
        points: (B, N, 2) px, none of them NaN.
        rounds: how often the mean is taken anew; it settles after a few.

    Returns:
        (B, N, 2) px; the mean shape is as large as the faces are on average and as they stand.
    """
    z = points[..., 0] + 1j * points[..., 1]
    z = z - z.mean(axis=1, keepdims=True)
    size = np.sqrt((abs(z) ** 2).mean(axis=1)).mean()
    mean = moved = z.mean(axis=0)
    for _ in range(rounds):
        mean = mean * size / np.sqrt((abs(mean) ** 2).mean())
        moved = z * ((z.conj() @ mean) / (abs(z) ** 2).sum(axis=1))[:, None]
        mean = moved.mean(axis=0)
    return np.stack([moved.real, moved.imag], axis=-1)


def coordinates(shapes, reading):
    """Landmarks in one of READINGS: (B, N, 2), NaN where a face does not show a landmark.

    Only faces that show all landmarks are aligned; the others are NaN.
    """
    if reading == IMAGE:
        return shapes.points
    if reading == EYES:
        return by_eyes(shapes)
    points = in_crop(shapes)
    if reading == CROP:
        return points
    whole = np.isfinite(points).all(axis=(1, 2))
    found = np.full_like(points, np.nan)
    if whole.any():
        found[whole] = align(points[whole])
    return found


# --- variances ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """The variances of one data set in one reading.

    Attributes:
        mean, variance: (N, 2) of each landmark on both axes, over the faces that show it.
        areas: (A, 2) variances averaged over the landmarks of each area.
        drawn: (draws, A, 2) the same of bootstrap draws over photographs or videos.
        faces: of them with a landmark.
        groups: photographs or videos.
    """

    mean: np.ndarray
    variance: np.ndarray
    areas: np.ndarray
    drawn: np.ndarray
    faces: int
    groups: int


def spread(shapes, reading, draws=DRAWS, seed=0):
    """`Spread` of some shapes. A variance is the mean squared distance from the mean over faces.

    Args:
        shapes: `Shapes`.
        reading: a key of READINGS.
        draws: bootstrap draws, each of as many photographs or videos as there are.
        seed: of the draws.
    """
    points = coordinates(shapes, reading)
    shown = np.isfinite(points).all(axis=-1)
    faces = shown.any(axis=1)
    points, shown, group = points[faces], shown[faces], shapes.group[faces]
    count, first, second, middle = _sums(points, shown, group)
    ones = np.ones((1, len(count)))
    mean, variance = _moments(ones, count, first, second)
    rng, groups = np.random.default_rng(seed), len(count)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(float)
    _, drawn = _moments(weights, count, first, second)
    both = (_by_area(values, shapes.scheme) for values in (variance, drawn))
    areas, drawn = both
    return Spread(mean[0] + middle, variance[0], areas[0], drawn, int(faces.sum()), groups)


def _sums(points, shown, group):
    """Of each photograph: faces (G, N), and sums of coordinates and of squares (G, N, 2).

    Around the mean of each landmark (N, 2), the last that is returned: squares of large numbers
    would cancel.
    """
    counts = shown.sum(axis=0)[:, None]
    with np.errstate(invalid="ignore"):  # a landmark that no face shows
        middle = np.where(shown[..., None], points, 0).sum(axis=0) / counts
    x = np.where(shown[..., None], points - middle, 0)
    order = np.argsort(group, kind="stable")
    starts = np.unique(group[order], return_index=True)[1]
    parts = (shown[order].astype(float), x[order], x[order] ** 2)
    return *(np.add.reduceat(part, starts, axis=0) for part in parts), middle


def _moments(weights, count, first, second):
    """Means and variances (draws, N, 2) of groups drawn as often as weights (draws, G) say."""
    shape = (len(weights), *first.shape[1:])
    total = (weights @ count)[..., None]
    sums = ((weights @ part.reshape(len(part), -1)).reshape(shape) for part in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):  # a landmark that no drawn face shows
        mean, square = (part / total for part in sums)
    return mean, square - mean**2


def _by_area(values, scheme):
    """Means (draws, A, 2) over the landmarks of each area of values (draws, N, 2)."""
    shown = np.isfinite(values)
    parts = []
    for index in map(list, scheme.areas.values()):
        with np.errstate(invalid="ignore"):
            total = np.where(shown[:, index], values[:, index], 0).sum(axis=1)
            parts.append(total / shown[:, index].sum(axis=1))
    return np.stack(parts, axis=1)


# --- tables ------------------------------------------------------------------------------------


def _ends(drawn, groups):
    """Ends of a 95 % interval; one photograph or video alone gives none."""
    drawn = drawn[np.isfinite(drawn)]
    return np.quantile(drawn, [0.025, 0.975]) if groups > 1 and len(drawn) else (np.nan, np.nan)


def _described(shapes, reading, axis):
    where = dict(data=shapes.label, subset=shapes.subset, real="yes" if shapes.real else "no")
    return where | dict(coordinates=reading, axis=axis, unit=UNITS[reading])


def variances(listed, draws=DRAWS):
    """Fig. 5: the variance of each coordinate over faces, averaged within each facial area.

    Args:
        listed: some `Shapes`.
        draws: of the bootstrap, over photographs or videos.

    Returns:
        data, subset, real (yes or no), coordinates (a key of READINGS), axis, unit, area,
        landmarks (how many the area has), variance with 95 % interval low, high (none for one
        photograph or video), faces, groups (photographs or videos).
    """
    rows = []
    for shapes, reading, found in _all(listed, draws):
        for a, (area, index) in enumerate(shapes.scheme.areas.items()):
            for k, axis in enumerate(AXES):
                low, high = _ends(found.drawn[:, a, k], found.groups)
                row = _described(shapes, reading, axis) | dict(area=area, landmarks=len(index))
                row |= dict(variance=found.areas[a, k], low=low, high=high)
                rows.append(row | dict(faces=found.faces, groups=found.groups))
    columns = ["data", "subset", "real", "coordinates", "axis", "unit", "area", "landmarks"]
    return tables.tidy(rows, [*columns, "variance", "low", "high", "faces", "groups"])


def landmarks(listed):
    """The mean and the standard deviation of each landmark on both axes.

    Args:
        listed: some `Shapes`; real ones of fewer than FEW photographs or videos are left out,
            since their mean would all but be the annotation of a face.

    Returns:
        data, subset, real, coordinates, area, landmark (0-based), x, y (mean), sd_x, sd_y, faces;
        all in the unit of the coordinates, not its square. Nothing of any single face.
    """
    rows = []
    for shapes, reading, found in _all(listed, draws=1):
        if shapes.real and found.groups < FEW:
            continue
        for area, index in shapes.scheme.areas.items():
            for n in index:
                row = _described(shapes, reading, "") | dict(area=area, landmark=n)
                row |= dict(zip(AXES, found.mean[n], strict=True))
                deviations = np.sqrt(np.maximum(found.variance[n], 0))
                row |= dict(zip(("sd_x", "sd_y"), deviations, strict=True))
                rows.append(row | dict(faces=found.faces))
    columns = ["data", "subset", "real", "coordinates", "area", "landmark", *AXES]
    return tables.tidy(rows, [*columns, "sd_x", "sd_y", "faces"])


def contour_largest(listed, draws=DRAWS):
    """Whether the contour has the largest variance on each axis, and by how much over the next.

    Args:
        listed: some `Shapes`; those whose scheme has no contour are left out.
        draws: of the bootstrap; each compares the contour with the largest other area of its own.

    Returns:
        data, subset, real, coordinates, axis, unit, landmarks (of the contour; AFLW has the chin
        alone), contour (variance), next_area (the largest of the others), next (its variance),
        more_percent (by how much the contour exceeds it) with 95 % interval low, high, verdict,
        faces, groups.
    """
    rows = []
    for shapes, reading, found in _all(listed, draws):
        names = list(shapes.scheme.areas)
        if CONTOUR not in names:
            continue
        at, others = names.index(CONTOUR), [n for n, name in enumerate(names) if name != CONTOUR]
        for k, axis in enumerate(AXES):
            own, rest = found.areas[at, k], found.areas[others, k]
            drawn = _excess(found.drawn[:, at, k], found.drawn[:, others, k].max(axis=1))
            low, high = _ends(drawn, found.groups)
            count = len(shapes.scheme.areas[CONTOUR])
            more = _excess(own, rest.max())
            row = _described(shapes, reading, axis) | dict(contour=own, next=rest.max())
            row |= dict(next_area=names[others[int(rest.argmax())]], more_percent=more)
            row |= dict(low=low, high=high, verdict=_verdict(low, high, shapes.real))
            rows.append(row | dict(landmarks=count, faces=found.faces, groups=found.groups))
    columns = ["data", "subset", "real", "coordinates", "axis", "unit", "landmarks", "contour"]
    columns += ["next_area", "next", "more_percent", "low", "high", "verdict", "faces", "groups"]
    return tables.tidy(rows, columns)


def _excess(own, other):
    """By how many percent one exceeds another; NaN where the other is 0, as with one face drawn."""
    own, other = np.asarray(own), np.asarray(other)
    ratio = np.divide(own, other, out=np.full(own.shape, np.nan), where=other > 0)
    return 100 * (ratio - 1)


def _verdict(low, high, real):
    """Of "the contour's is the largest": a sign, since the paper prints no size."""
    if not real or not (low > 0 or high < 0):
        return claims.INCONCLUSIVE
    return claims.REPRODUCED if low > 0 else claims.CONTRADICTED


def _all(listed, draws):
    for shapes in listed:
        for reading in READINGS:
            yield shapes, reading, spread(shapes, reading, draws)
