"""LAB's 13 boundary lines of a 68-point face: curves, points along them, maps. Pure functions.

Each boundary is a natural cubic spline through its landmarks (Wu et al. 2018, "Look at boundary"),
taken at points of equal distance along it, and drawn as the polyline of these.
"""

import functools

import numpy as np
import torch

from study import heatmaps

# Left and right are those of the image. Lids and lips share their corners.
BOUNDARIES = {
    "contour": tuple(range(17)),
    "left brow": tuple(range(17, 22)),
    "right brow": tuple(range(22, 27)),
    "nose bridge": tuple(range(27, 31)),
    "nose bottom": tuple(range(31, 36)),
    "left eye, upper lid": (36, 37, 38, 39),
    "left eye, lower lid": (39, 40, 41, 36),
    "right eye, upper lid": (42, 43, 44, 45),
    "right eye, lower lid": (45, 46, 47, 42),
    "upper lip, outer": tuple(range(48, 55)),
    "upper lip, inner": tuple(range(60, 65)),
    "lower lip, inner": (60, 67, 66, 65, 64),
    "lower lip, outer": (48, 59, 58, 57, 56, 55, 54),
}
COUNT = len(BOUNDARIES)
ALONG, ALONG_CONTOUR = 16, 32  # points along a boundary, and along the contour, which is longer
FINE = 10  # samples of a spline for each of its landmarks, as LAB takes them


def samples(name):
    """How many points of equal distance stand for a boundary."""
    return ALONG_CONTOUR if name == "contour" else ALONG


POINTS = sum(map(samples, BOUNDARIES))  # 224 of all boundaries


@functools.cache
def spline_matrix(count, fine=FINE):
    """Samples of the natural cubic spline through points, as a matrix that they are multiplied by.

    The knots are the points' numbers 0, 1, ..., n-1, so the spline is linear in the points: its
    second derivatives m solve m_(i-1) + 4 m_i + m_(i+1) = 6 (p_(i-1) - 2 p_i + p_(i+1)) with
    m = 0 at both ends.

    Args:
        count: n, points of the spline, two at least.
        fine: samples a point.

    Returns:
        (fine * n, n) array; its first and last samples are the first and the last point.
    """
    eye, second = np.eye(count), np.zeros((count, count))
    if count > 2:
        left = 4 * eye[1:-1, 1:-1] + eye[1:-1, :-2] + eye[1:-1, 2:]
        right = 6 * (eye[:-2] - 2 * eye[1:-1] + eye[2:])
        second[1:-1] = np.linalg.solve(left, right)
    place = np.linspace(0, count - 1, fine * count)
    start = place.astype(int).clip(max=count - 2)
    t = (place - start)[:, None]
    ends = (1 - t) * eye[start] + t * eye[start + 1]
    bend = ((1 - t) ** 3 - (1 - t)) * second[start] + (t**3 - t) * second[start + 1]
    return ends + bend / 6


def equal_arcs(line, count):
    """Points of equal distance along polylines, both ends included.

    Args:
        line: (B, S, 2) px, vertices in their order.
        count: K.

    Returns:
        (B, K, 2) px. A line without length gives its first vertex K times.
    """
    steps = (line[:, 1:] - line[:, :-1]).norm(dim=-1)
    along = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(dim=-1)], dim=-1)  # (B, S)
    wanted = along[:, -1:] * torch.linspace(0, 1, count, dtype=line.dtype, device=line.device)
    after = torch.searchsorted(along, wanted.contiguous()).clamp(1, line.shape[1] - 1)
    before, end = along.gather(1, after - 1), along.gather(1, after)
    share = ((wanted - before) / (end - before).clamp(min=1e-9)).clamp(0, 1)
    pick = (after[..., None]).expand(-1, -1, 2)
    return torch.lerp(line.gather(1, pick - 1), line.gather(1, pick), share[..., None])


def curve_points(points):
    """Points along the boundaries of 68-point faces: (B, 68, 2) px -> (B, 224, 2) px.

    Boundaries come one after another in their order, `samples` points each.
    """
    found = []
    for name, index in BOUNDARIES.items():
        matrix = points.new_tensor(spline_matrix(len(index)))
        found.append(equal_arcs(matrix @ points[:, list(index)], samples(name)))
    return torch.cat(found, dim=1)


def boundary_maps(curves, size, length, sigma):
    """Maps of the boundaries: exp(-d^2 / (2 sigma^2)) where d < 3 sigma, else 0 (LAB).

    Args:
        curves: (B, 224, 2) px of the crop, as `curve_points` gives them.
        size: F, px.
        length: L, cells along each axis of a map.
        sigma: in cells.

    Returns:
        (B, 13, L, L), rows along y and columns along x; d is the distance of a cell's centre from
        the boundary's polyline, in cells.
    """
    bins = heatmaps.to_bins(curves, size, length)
    cells = torch.arange(length, dtype=bins.dtype, device=bins.device)
    maps, first = [], 0
    for name in BOUNDARIES:
        last = first + samples(name)
        maps.append(_nearest_square(bins[:, first:last], cells))
        first = last
    square = torch.stack(maps, dim=1)
    near = torch.exp(square / (-2 * sigma**2))
    return torch.where(square < (3 * sigma) ** 2, near, torch.zeros_like(near))


def _nearest_square(line, cells):
    """Squared distance of every cell from polylines (B, K, 2): (B, L, L)."""
    start, way = line[:, :-1, :, None], (line[:, 1:] - line[:, :-1])[..., None]  # (B, K-1, 2, 1)
    inverse = 1 / way.square().sum(dim=2, keepdim=True).clamp(min=1e-12)
    across = cells - start  # (B, K-1, 2, L), along x and along y
    share = across * way * inverse  # of the way that a cell has gone along each axis
    share = (share[:, :, 1, :, None] + share[:, :, 0, None, :]).clamp_(0, 1)  # (B, K-1, y, x)
    off_y = torch.addcmul(across[:, :, 1, :, None], share, way[:, :, 1, None], value=-1)
    off_x = torch.addcmul(across[:, :, 0, None, :], share, way[:, :, 0, None], value=-1)
    return off_y.square_().addcmul_(off_x, off_x).amin(dim=1)
