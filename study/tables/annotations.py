"""What AFLW's annotations alone can say: what rounding costs, and which landmarks are seen when.

Functions of the index of `study.datasets.aflw`, which can be read without the images
(`read(root, images=False)`). Nothing here is about a detector.
"""

import numpy as np
import pandas as pd
import torch

from study import paper, paths, tables
from study.datasets import aflw, crops
from study.landmarks import SCHEMES
from study.tables import areas, quantized

SCHEME = SCHEMES["aflw19"]
NAMES = ("aflw_rounding", "aflw_visibility", "aflw_halves", "aflw_variances")  # of the tables
OUTER, TIP = (6, 11), 13  # outer eye corners, left and right in the image; tip of the nose
ROOT = "data/AFLW"  # where a profile without AFLW's images may still have its annotations
SCALE = 1.25  # side of the crop in sides of the annotated box, as in every profile
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, np.inf)  # of |turn|
# How much more of one half of the face is seen than of the other, as a share of its landmarks.
SIDES = {"both halves": (0.0, 0.25), "one half more": (0.25, 0.75), "one half": (0.75, 1.01)}


def in_crops(index, size=paper.SIZE, scale=SCALE):
    """Annotated points and face sizes in px of the plain crop around the annotated box.

    Args:
        index: table of `datasets.aflw.read`, B rows.
        size: F, px.
        scale: side of the crop in longer sides of the box.

    Returns:
        points (B, 19, 2) float64, NaN where hidden; face sizes (B,) float64.
    """
    affine = np.stack([crops.square(box, scale, size) for box in index["box"]])
    points = crops.to_crop(np.stack(list(index["points"])), affine)
    return torch.from_numpy(points), torch.from_numpy(index["face_size"].to_numpy() / affine[:, 0])


def rounding(index, data, lengths=None, size=paper.SIZE):
    """NRMSE that rounding alone causes on visible points, over the annotated box, at Table 1's L.

    Args:
        index: table of `datasets.aflw.read`.
        data: what the faces are, a column.
        lengths: the L; None takes those of the paper's Table 1.
        size: F, px; the result depends on L alone.

    Returns:
        the columns of `quantized.quantization`; subsets "AFLW" (to test on) and "train".
    """
    lengths = sorted(set(paper.table1()["length"])) if lengths is None else lengths
    points, sizes = in_crops(index, size)
    subset = index["subset"].to_numpy(dtype=str)
    return quantized.quantization(points, subset, size, lengths, data, sizes)


# --- poses ------------------------------------------------------------------------------------


def turn(points):
    """How far heads turn aside: (B, 19, 2) px -> (B,), NaN where a point that it needs is hidden.

    `metrics.turn` on AFLW's points: the tip of the nose along the line of the outer eye corners,
    from their middle, over their distance, positive where it points to the image's right. A face
    in profile hides one of the three, and has none: it says nothing of the most turned heads.
    """
    left, right = points[:, OUTER[0]], points[:, OUTER[1]]
    across = right - left
    aside = ((points[:, TIP] - (left + right) / 2) * across).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return aside / np.square(across).sum(-1)


def lopsided(visible):
    """How much more of a face's right half (in the image) is visible: (B, 19) bool -> (B,).

    The landmarks of that half less their mirrored ones, over their number, in [-1, 1]. It is there
    for every face, but it is visibility itself: it sorts occluded faces with turned ones.
    """
    pairs = [(n, m) for n, m in enumerate(SCHEME.mirror) if n < m]  # left in the image, right
    left, right = (visible[:, [pair[side] for pair in pairs]] for side in (0, 1))
    return (right.sum(1) - left.sum(1)) / len(pairs)


def by_turn(index, edges=EDGES):
    """Visible landmarks by `turn`, a row a range, and one of the faces that have none.

    Returns:
        turn (the range of its size), faces, visible_percent (of all landmarks; three are visible
        by definition where there is a turn), all_visible_percent (of the faces), and one column
        an area with the visible share of its landmarks, percent.
    """
    size = np.abs(turn(np.stack(list(index["points"]))))
    ranges = [(low, high, (size >= low) & (size < high)) for low, high in _pairs(edges)]
    named = [(_range(low, high), chosen) for low, high, chosen in ranges]
    return _visibility("turn", [*named, ("a needed point is hidden", np.isnan(size))], index)


def by_side(index):
    """Visible landmarks by `lopsided`, a row a kind: see `by_turn`; the first column is `seen`."""
    share = np.abs(lopsided(np.stack(list(index["visible"]))))
    kinds = [(name, (share >= low) & (share < high)) for name, (low, high) in SIDES.items()]
    return _visibility("seen", kinds, index)


def by_landmark(index):
    """How often each landmark is visible: landmark (0-based), name, visible_percent, mirrored.

    `mirrored` is the same of its mirrored landmark: the two differ where annotators or poses do.
    """
    share = 100 * np.stack(list(index["visible"])).mean(axis=0)
    mirrored = share[list(SCHEME.mirror)]
    columns = {"landmark": range(SCHEME.count), "name": SCHEME.names}
    return pd.DataFrame({**columns, "visible_percent": share, "mirrored": mirrored})


def _pairs(edges):
    return zip(edges[:-1], edges[1:], strict=True)


def _range(low, high):
    return f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"


def _visibility(column, named, index):
    visible, rows = np.stack(list(index["visible"])), []
    for name, chosen in named:
        there = visible[chosen]
        row = {column: name, "faces": len(there)}
        if len(there):
            row["visible_percent"] = 100 * there.mean()
            row["all_visible_percent"] = 100 * there.all(axis=1).mean()
            row |= {area: 100 * there[:, list(n)].mean() for area, n in SCHEME.areas.items()}
        rows.append(row)
    columns = [column, "faces", "visible_percent", "all_visible_percent", *SCHEME.areas]
    return pd.DataFrame(rows, columns=columns)


# --- of a profile -----------------------------------------------------------------------------


def of_profile(profile):
    """All tables of a profile's AFLW, measured where its .mat is here, else as they were saved.

    Args:
        profile: a `config.Profile`; without the key `aflw`, the .mat alone is looked for.

    Returns:
        dict from name to table: aflw_rounding (`rounding`), aflw_visibility (`by_turn`),
        aflw_halves (`by_side`) and aflw_variances (`areas.variances`), each with the column
        data; None where there never was a .mat.
    """
    data = profile.aflw
    root = paths.ROOT / (data.root if data else ROOT)
    if not (root / aflw.FILE).exists():
        return {name: tables.read(name, profile.name) for name in NAMES}
    index, label = aflw.read(root, images=False), data.label if data else aflw.NAME
    real = data is None or data.standin is None
    shapes = areas.of_index(index, SCHEME, label, real=real, scale=profile.crops.scale)
    made = (
        rounding(index, label),
        by_turn(index).assign(data=label),
        by_side(index).assign(data=label),
        areas.variances([shapes]),
    )
    return dict(zip(NAMES, made, strict=True))
