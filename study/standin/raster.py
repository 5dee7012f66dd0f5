"""A software rasteriser for grids of quads: which grid cell is seen at each pixel.

A part of the scene is a grid of vertices on the screen, (R, C, 3): x and y in px (0-based, pixel
centres at integers), and depth, larger is nearer. Everything else, colour and light, is looked
up at the grid coordinates (column, row) that the rasteriser returns for each pixel.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Triangles are tried on boxes of these sizes (px): few sizes, few calls
STEPS = np.array([3, 5, 8, 16, 60, 160, 4000])


@dataclass
class Sheet:
    """A grid to rasterise.

    Attributes:
        screen: (R, C, 3) vertices: x px, y px, depth (larger is nearer).
        closed: True for a closed surface, whose back side is never seen.
        alpha: (h, w) bool, the holes (False) of the sheet, stretched over the grid; or None.
    """

    screen: np.ndarray
    closed: bool = True
    alpha: np.ndarray | None = None


@lru_cache(maxsize=64)
def grid_triangles(rows, columns):
    """Corner indices (2(R-1)(C-1), 3) of a grid's triangles, split symmetrically left to right."""
    r, c = np.mgrid[: rows - 1, : columns - 1]
    a = r * columns + c
    b, d, e = a + 1, a + columns, a + columns + 1
    left = c < (columns - 1) // 2
    first = np.stack([a, b, np.where(left, e, d)], -1).reshape(-1, 3)
    second = np.stack([np.where(left, a, b), e, d], -1).reshape(-1, 3)
    return np.concatenate([first, second]).astype(np.int32)


def interpolate(values, column, row):
    """Values of a grid (R, C, K) at grid coordinates, linear on the rasteriser's own triangles.

    Args:
        values: (R, C, K) at the vertices.
        column, row: (n,) grid coordinates.

    Returns:
        (n, K).
    """
    rows, columns = values.shape[:2]
    c = np.clip(np.floor(column).astype(int), 0, columns - 2)
    r = np.clip(np.floor(row).astype(int), 0, rows - 2)
    u, v = (column - c)[:, None], (row - r)[:, None]
    a, b = values[r, c], values[r, c + 1]
    d, e = values[r + 1, c], values[r + 1, c + 1]
    falling = np.where(u >= v, a + u * (b - a) + v * (e - b), a + v * (d - a) + u * (e - d))
    rising = np.where(u + v <= 1, a + u * (b - a) + v * (d - a),
                      e + (1 - u) * (d - e) + (1 - v) * (b - e))
    return np.where((c < (columns - 1) // 2)[:, None], falling, rising)


def rasterize(sheets, height, width):
    """The nearest sheet at each pixel, and where on its grid.

    Args:
        sheets: list of Sheet.
        height, width: px.

    Returns:
        part (H, W) int16, -1 where nothing is seen; column and row (H, W) float32.
    """
    planes, owner = _planes(sheets, height, width)
    triangle, x, y = (np.concatenate(v) for v in zip(*map(_inside, *_groups(planes)), strict=True))
    pixel = (y + planes["y0"][triangle]) * np.int32(width) + x + planes["x0"][triangle]
    depth = _evaluate(planes["depth"], triangle, x, y)
    key = ((depth + 500.0) * 1e6).astype(np.int64) << 20 | triangle
    nearest = np.full(height * width, -1, np.int64)
    holed = np.array([sheet.alpha is not None for sheet in sheets])[owner][triangle]
    np.maximum.at(nearest, pixel[~holed], key[~holed])
    holed = np.flatnonzero(holed)  # of these, only what is in front needs to be looked at
    holed = holed[key[holed] > nearest[pixel[holed]]]
    holed = holed[_solid(sheets, planes, owner, triangle[holed], x[holed], y[holed])]
    np.maximum.at(nearest, pixel[holed], key[holed])
    seen = np.flatnonzero(nearest >= 0)
    triangle = (nearest[seen] & 0xFFFFF).astype(np.int32)
    y, x = np.divmod(seen.astype(np.int32), np.int32(width))
    x, y = x - planes["x0"][triangle], y - planes["y0"][triangle]
    part = np.full(height * width, -1, np.int16)
    column, row = np.zeros((2, height * width), np.float32)
    part[seen] = owner[triangle]
    column[seen] = _evaluate(planes["column"], triangle, x, y)
    row[seen] = _evaluate(planes["row"], triangle, x, y)
    shape = (height, width)
    return part.reshape(shape), column.reshape(shape), row.reshape(shape)


def _evaluate(plane, triangle, x, y):
    """A linear function per triangle, planes (3, T), at px x, y of the triangle's box."""
    a, b, c = plane
    return a[triangle] * x + b[triangle] * y + c[triangle]


def _corners(sheets, height, width):
    """Corners (T, 3, 5) of the triangles that may be seen: x, y, depth, column, row; owners."""
    corners, owner = [], []
    for i, sheet in enumerate(sheets):
        rows, columns = sheet.screen.shape[:2]
        triangles = grid_triangles(rows, columns)
        x, y = (np.ascontiguousarray(sheet.screen[..., k], np.float32).ravel() for k in (0, 1))
        (ax, bx, cx), (ay, by, cy) = x[triangles.T], y[triangles.T]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        keep = (area if sheet.closed else np.abs(area)) > 1e-6
        for low, values, high in ((0, (ax, bx, cx), width - 1), (0, (ay, by, cy), height - 1)):
            keep &= (np.maximum.reduce(values) >= low) & (np.minimum.reduce(values) <= high)
        r, c = np.mgrid[:rows, :columns].astype(np.float32)
        vertex = np.dstack([sheet.screen.astype(np.float32), c, r]).reshape(-1, 5)
        corners.append(vertex[triangles[keep]])
        owner.append(np.full(len(corners[-1]), i, np.int16))
    return np.concatenate(corners), np.concatenate(owner)


def _planes(sheets, height, width):
    """Per visible triangle: bounding box, edge functions, and linear functions of x and y."""
    corners, owner = _corners(sheets, height, width)
    xy = corners[:, :, :2]
    low = np.maximum(np.ceil(np.minimum(np.minimum(xy[:, 0], xy[:, 1]), xy[:, 2])), 0)
    high = np.floor(np.maximum(np.maximum(xy[:, 0], xy[:, 1]), xy[:, 2]))
    high = np.minimum(high, [width - 1, height - 1])
    keep = (high[:, 0] >= low[:, 0]) & (high[:, 1] >= low[:, 1])
    corners, owner, low, high = (v[keep] for v in (corners, owner, low, high))
    edges = _edges(corners[:, :, :2] - low[:, None])
    edges /= edges.sum(1)[:, None, 2:]  # (T, 3, 3) barycentric a, b, c; the c add up to the area
    planes = {name: np.ascontiguousarray(np.einsum("tk,tkj->jt", corners[:, :, i], edges))
              for i, name in ((2, "depth"), (3, "column"), (4, "row"))}
    planes.update(height=height, width=width)
    span = (high - low).astype(np.int32) + 1
    planes.update(edges=edges, x0=low[:, 0].astype(np.int32), y0=low[:, 1].astype(np.int32),
                  w=span[:, 0], h=span[:, 1])
    return planes, owner


def _edges(xy):
    x, y = xy[..., 0], xy[..., 1]
    nx, ny = x[:, [1, 2, 0]], y[:, [1, 2, 0]]
    px, py = x[:, [2, 0, 1]], y[:, [2, 0, 1]]
    return np.stack([ny - py, px - nx, nx * py - px * ny], -1)


def _groups(planes):
    """Triangles (n,) whose boxes fit the same size, with that size (rows, columns) and planes."""
    code = np.searchsorted(STEPS, planes["h"]) * len(STEPS) + np.searchsorted(STEPS, planes["w"])
    order = np.argsort(code, kind="stable").astype(np.int32)
    starts = np.unique(code[order], return_index=True)[1]
    groups = np.split(order, starts[1:])
    return [planes] * len(groups), groups


def _inside(planes, group):
    """Fragments of a group of triangles: triangle (n,), x and y (n,) px of its box."""
    wide, high = planes["w"][group], planes["h"][group]
    ys, xs = np.mgrid[:high.max(), :wide.max()].reshape(2, -1).astype(np.int32)
    offsets = np.stack([xs, ys, np.ones_like(xs)]).astype(np.float32)
    edges = planes["edges"][group]
    lowest = edges[:, 0] @ offsets
    np.minimum(lowest, edges[:, 1] @ offsets, out=lowest)
    np.minimum(lowest, edges[:, 2] @ offsets, out=lowest)
    which, pixel = np.divmod(np.flatnonzero(lowest >= 0).astype(np.int32), np.int32(len(xs)))
    x, y = xs[pixel], ys[pixel]
    if ((wide + planes["x0"][group]).max() >= planes["width"] - 1
            or (high + planes["y0"][group]).max() >= planes["height"] - 1):  # may leave the picture
        keep = (x < wide[which]) & (y < high[which])
        which, x, y = which[keep], x[keep], y[keep]
    return group[which], x, y


def _solid(sheets, planes, owner, triangle, x, y):
    """Which fragments of sheets with holes do not lie in a hole."""
    u = _evaluate(planes["column"], triangle, x, y)
    v = _evaluate(planes["row"], triangle, x, y)
    part, solid = owner[triangle], np.ones(len(triangle), bool)
    for i in np.unique(part):
        alpha, mine = sheets[i].alpha, part == i
        (h, w), (rows, columns) = alpha.shape, sheets[i].screen.shape[:2]
        at = ((v[mine] * np.float32(h / (rows - 1))).astype(np.int32),
              (u[mine] * np.float32(w / (columns - 1))).astype(np.int32))
        solid[mine] = alpha[np.clip(at[0], 0, h - 1), np.clip(at[1], 0, w - 1)]
    return solid
