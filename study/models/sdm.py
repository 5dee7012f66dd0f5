"""Supervised descent (Xiong & De la Torre 2013, CVPR): a cascade of linear regressions on HOG.

No heatmap and no network. From a start, every step looks at the picture around the landmarks as
they stand and moves all of them at once:

    x_(k+1) = x_k + R_k phi(x_k) + b_k

phi are histograms of gradients around all landmarks; R_k and b_k are found by ridge regression on
where step k - 1 left the training faces.
"""

import math
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from study.models.coordinates import to_sides
from study.models.detector import require_crop

CELLS, ORIENTATIONS = 4, 8  # cells along each side of a landmark's window; bins of the full circle
FEATURES = CELLS**2 * ORIENTATIONS  # 128, as SIFT's
CLIP = 0.2  # of a landmark's unit vector, so that no single strong edge is all that is seen
FAINT = 1e-3  # gradients per px, of full scale 1, below which a window counts as empty
# Widths of the windows at each step, in outer eye distances (Huber's superviseddescent, rcr-train).
WINDOWS = (1.0, 0.7, 0.4, 0.25)
EYES = 0.464  # that distance in 300W's mean shape, in sides of a crop of 1.25 boxes
SMALLEST = 4.0  # px of the crop: a narrower window would have cells of less than a pixel


# --- features ---------------------------------------------------------------------------------


def orientations(gray):
    """How strong the gradient is in each direction: (B, F, F) -> (B, 8, F, F).

    Central differences, at the border with the edge pixel repeated. Channel o is of the direction
    45 o degrees, from +x towards +y; a gradient between two directions is shared by both.
    """
    padded = functional.pad(gray[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    turn = torch.atan2(down, across)[:, None] * (ORIENTATIONS / math.tau) % ORIENTATIONS  # bins
    bins = torch.arange(ORIENTATIONS, device=gray.device)[:, None, None]
    shares = (1 - (turn - bins).abs()).clamp(min=0)  # (B, 8, F, F)
    shares[:, :1] += (turn - (ORIENTATIONS - 1)).clamp(min=0)  # the circle closes
    return shares * torch.hypot(across, down)[:, None]


def spread(size, cell):
    """The matrix (F, F) that averages a line of pixels over cells, by SIFT's bilinear weights.

    A pixel counts with 1 - distance / cell, so that it passes smoothly from cell to cell. Beyond
    the line there is nothing.

    Args:
        size: F.
        cell: width of a cell, px; 1 at least.
    """
    places = torch.arange(size, dtype=torch.float32)
    weights = (1 - (places[:, None] - places).abs() / cell).clamp(min=0)
    reach = torch.arange(-math.ceil(cell), math.ceil(cell) + 1)
    return weights / (1 - reach.abs() / cell).clamp(min=0).sum()


def describe(channels, points, width):
    """Histograms of oriented gradients around landmarks, 4 x 4 cells of 8 directions each.

    Args:
        channels: (B, 8, F, F), the `orientations` of a picture of full scale 1.
        points: (B, N, 2) px of the crop; where a window leaves the crop it is empty.
        width: of a landmark's window, px.

    Returns:
        (B, N, 128): row of the cell, column of the cell, direction. Each landmark's vector has
        length 1, with no value far above 0.2, or is 0 where the picture is constant.
    """
    size, cell = channels.shape[-1], width / CELLS
    average = spread(size, cell).to(channels)
    channels = average @ channels @ average.T  # (B, 8, F, F)
    steps = (torch.arange(CELLS).to(channels) - (CELLS - 1) / 2) * cell
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    centres = torch.stack([columns, rows], dim=-1).flatten(0, 1)  # (16, 2) px from the landmark
    places = 2 * to_sides(points[:, :, None] + centres, size)  # (B, N, 16, 2), -1 to 1
    cells = functional.grid_sample(channels, places, align_corners=False)  # (B, 8, N, 16)
    found = cells.permute(0, 2, 3, 1).flatten(2)  # (B, N, 128)
    found = (found / (found.square().sum(-1, keepdim=True) + FAINT**2).sqrt()).clamp(max=CLIP)
    return functional.normalize(found, dim=-1)


# --- ridge regression -------------------------------------------------------------------------


class Ridge:
    """Ridge regression by normal equations, to which samples are added chunk by chunk.

    Minimises |Y - [X, 1] W|^2 + penalty |W without its last row|^2: the bias is free.

    Args:
        inputs, outputs: columns of X and Y.
        blocks: the Gram matrix is added up by so many rows of blocks, from its diagonal on; the
            other half is their mirror image.
        dtype, device: of the sums.
    """

    def __init__(self, inputs, outputs, *, blocks=8, dtype=torch.float32, device=None):
        side = inputs + 1
        self.gram = torch.zeros(side, side, dtype=dtype, device=device)
        self.cross = torch.zeros(side, outputs, dtype=dtype, device=device)
        self.samples, self.width = 0, -(-side // blocks)

    def add(self, inputs, outputs):
        """Adds samples: X (b, inputs) and Y (b, outputs)."""
        x = functional.pad(inputs, (0, 1), value=1.0).to(self.gram.dtype)
        self.cross.addmm_(x.T, outputs.to(x.dtype))
        for first in range(0, len(self.gram), self.width):
            rows = slice(first, first + self.width)
            self.gram[rows, first:].addmm_(x[:, rows].T, x[:, first:])
        self.samples += len(x)

    def _mirror(self):
        """Fills the half of the Gram matrix that was not added up."""
        for first in range(0, len(self.gram), self.width):
            rows, later = slice(first, first + self.width), slice(first + self.width, None)
            self.gram[later, rows] = self.gram[rows, later].T

    def solve(self, strength):
        """W (inputs + 1, outputs), the bias in the last row.

        Args:
            strength: the penalty is strength * |G|_F / samples, G the Gram matrix of [X, 1]
                (Huber's superviseddescent). It does not grow with the samples, as ridge's should
                not: |G|_F does.

        Raises:
            torch.linalg.LinAlgError: too small a strength for so few or so similar samples.
        """
        self._mirror()
        penalty = strength * torch.linalg.matrix_norm(self.gram) / self.samples
        diagonal = self.gram.diagonal()
        kept = diagonal.clone()
        diagonal[:-1] += penalty  # in place and back: a copy would be as large as all the sums
        try:
            lower = torch.linalg.cholesky(self.gram)
        finally:
            diagonal.copy_(kept)
        return torch.cholesky_solve(self.cross, lower)


class FewRidge:
    """`Ridge` of fewer samples than inputs, by the samples' own Gram matrix: the same W.

    The bias is free, so that X and Y count from their means:
    W = X^T (X X^T + penalty)^-1 Y. Samples are kept as they are.
    """

    def __init__(self):
        self.inputs, self.outputs = [], []

    def add(self, inputs, outputs):
        """Adds samples: X (b, inputs) and Y (b, outputs)."""
        self.inputs.append(inputs)
        self.outputs.append(outputs)

    def solve(self, strength):
        """As `Ridge.solve`: the Gram matrix of [X, 1] has the norm of the samples' own."""
        x, y = torch.cat(self.inputs).double(), torch.cat(self.outputs).double()
        penalty = strength * torch.linalg.matrix_norm(x @ x.T + 1) / len(x)
        middle, mean = x.mean(dim=0), y.mean(dim=0)
        x, y = x - middle, y - mean
        gram = x @ x.T
        gram.diagonal().add_(penalty)
        weights = x.T @ torch.cholesky_solve(y, torch.linalg.cholesky(gram))
        return torch.cat([weights, (mean - middle @ weights)[None]]).to(self.inputs[0])


# --- the cascade ------------------------------------------------------------------------------


class SDM(nn.Module):
    """The cascade: a start, and a linear regression a step.

    Args:
        landmarks: N.
        size: F, side of the face crop, in px.
        cascade: K, the steps.
        windows: widths of the landmarks' windows at each step, in outer eye distances of the
            mean shape; the last serves all steps after it.

    (B, 3, F, F) -> points (B, N, 2) from the crop's centre, in sides of the crop, as
    `coordinates.Coordinates` gives them. Until `fit` it answers the centre.

    Buffers: mean (N, 2), the mean shape in px of the crop; weights (K, 128 N + 1, 2 N), of every
    step R_k and, in the last row, b_k. They are fitted and not descended to: no parameters.

    Differs from the original: histograms of 4 x 4 cells without SIFT's Gaussian window, of no
    size of its own but shrinking ones; no PCA.
    """

    def __init__(self, *, landmarks, size, cascade=4, windows=WINDOWS):
        super().__init__()
        self.landmarks, self.size, self.cascade = landmarks, size, cascade
        shares = [windows[min(step, len(windows) - 1)] for step in range(cascade)]
        self.widths = tuple(max(share * EYES * size, SMALLEST) for share in shares)  # px
        self.register_buffer("mean", torch.full((landmarks, 2), (size - 1) / 2))
        shape = cascade, FEATURES * landmarks + 1, 2 * landmarks
        self.register_buffer("weights", torch.zeros(shape))

    def gray(self, images):
        """What the cascade sees of images (B, 3, F, F): (B, F, F), at least float32.

        Raises:
            ValueError: images of another size.
        """
        require_crop(images, self.size)
        return images.to(torch.promote_types(images.dtype, torch.float32)).mean(dim=1)

    def features(self, step, channels, points):
        """phi of a step (from 0): `orientations` (B, 8, F, F), points (B, N, 2) -> (B, 128 N)."""
        return describe(channels, points, self.widths[step]).flatten(1)

    def advance(self, step, channels, points):
        """x_k + R_k phi(x_k) + b_k: points (B, N, 2) px of the crop -> the same."""
        weights = self.weights[step]
        moved = torch.addmm(weights[-1], self.features(step, channels, points), weights[:-1])
        return points + moved.unflatten(-1, (self.landmarks, 2))

    def forward_all(self, images, start=None):
        """The points at the start and after every step.

        Args:
            images: (B, 3, F, F).
            start: (B, N, 2) px of the crop; None is the mean shape.

        Returns:
            (K + 1, B, N, 2) px of the crop.
        """
        # Under autocast bfloat16 would round the points to 1/512 of the crop's side.
        with torch.autocast(images.device.type, enabled=False):
            channels = orientations(self.gray(images))
            start = self.mean.expand(len(images), -1, -1) if start is None else start
            found = [start.to(self.mean)]
            for step in range(self.cascade):
                found.append(self.advance(step, channels, found[-1]))
        return torch.stack(found)

    def forward(self, images, start=None):
        """The last of `forward_all`, in sides of the crop from its centre: (B, N, 2)."""
        return to_sides(self.forward_all(images, start)[-1], self.size)


# --- starts -----------------------------------------------------------------------------------


def lay_over(shape, points):
    """A shape moved, turned and scaled to where it is nearest to points in least squares.

    Args:
        shape: (N, 2), not all of it in one place.
        points: (B, N, 2), of any px.

    Returns:
        (B, N, 2), in the px of the points.
    """
    middle = points.mean(dim=1, keepdim=True)
    flat, there = shape - shape.mean(dim=0), points - middle
    turned = torch.stack([-flat[:, 1], flat[:, 0]], dim=-1)  # by a right angle, +x to +y
    along, across = ((there * part).sum(dim=(1, 2)) for part in (flat, turned))  # (B,)
    moved = along[:, None, None] * flat + across[:, None, None] * turned
    return middle + moved / flat.square().sum()


@dataclass(frozen=True)
class Starts:
    """Where the views that a cascade is fitted on start. All draws are normal.

    Attributes:
        shift: along each axis, of the longer side of the mean shape's box.
        scale: of the logarithm of the shape's size.
        near: share of the views where the mean shape first is laid over the truth, and then
            varied in the same way and turned: what a face that is followed starts from.
        turn: degrees, of those alone.
    """

    shift: float = 0.04
    scale: float = 0.04
    near: float = 0.0
    turn: float = 3.0


def draw_starts(mean, points, settings, generator):
    """Starts of views: (B, N, 2) px of the crop.

    Args:
        mean: (N, 2) px of the crop.
        points: (B, N, 2), the truth.
        settings: a `Starts`.
        generator: torch generator on the CPU.
    """
    count = len(points)
    draw = torch.randn(count, 4, generator=generator).to(points)
    near = torch.rand(count, generator=generator).to(points.device) < settings.near
    shapes = torch.where(near[:, None, None], lay_over(mean, points), mean)
    middle = shapes.mean(dim=1, keepdim=True)
    angle = torch.deg2rad(settings.turn * draw[:, 0]) * near
    zoom = torch.exp(settings.scale * draw[:, 1])
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    box = (mean.amax(dim=0) - mean.amin(dim=0)).max()
    shift = settings.shift * box * draw[:, None, 2:]
    return middle + (shapes - middle) @ turn.transpose(-1, -2) + shift


# --- fitting ----------------------------------------------------------------------------------


def _hold(model, views):
    """All views in memory: gray (B, F, F), half precision, and points (B, N, 2) px."""
    held = [(model.gray(images).half(), points.to(model.mean)) for images, points in views]
    return tuple(torch.cat(parts) for parts in zip(*held, strict=True))


def _fit_step(model, step, gray, points, now, strength, chunk):
    """Fits one step on where the views stand and moves them by it: (B, N, 2) px."""

    def batches():
        for faces, *rest in zip(*(part.split(chunk) for part in (gray, points, now)), strict=True):
            yield orientations(faces.float()), *rest

    inputs, outputs = model.weights.shape[1] - 1, model.weights.shape[2]
    few = len(points) < inputs // 2  # beyond, the samples' own Gram matrix is no smaller
    ridge = FewRidge() if few else Ridge(inputs, outputs, device=gray.device)
    for channels, truth, here in batches():
        ridge.add(model.features(step, channels, here), (truth - here).flatten(1))
    model.weights[step] = ridge.solve(strength)
    return torch.cat([model.advance(step, channels, here) for channels, _, here in batches()])


@torch.no_grad()
def fit(
    model,
    views,
    generator,
    report=None,
    *,
    mean=None,
    starts=None,
    strength=1.5,
    chunk=256,
):
    """Fits a cascade, one step after the other, and writes it into the model.

    Args:
        model: an `SDM`.
        views: batches of images (b, 3, F, F) and points (b, N, 2) px of the crop, on the model's
            device; gone through once, B views in all, which are kept in gray.
        generator: torch generator on the CPU, for the starts.
        report: called after every step with a dict: step (from 1), steps, residual (mean distance
            of the views' landmarks from the truth, px of the crop), relative (to the start's),
            seconds (since the call).
        mean: (N, 2) the mean shape, px of the crop; None is the views' own.
        starts: a `Starts`; None its defaults.
        strength: of the penalty; see `Ridge.solve`.
        chunk: views at a time; changes no result beyond the float's last digits.

    Returns:
        the model.
    """
    begun = time.perf_counter()
    gray, points = _hold(model, views)
    model.mean.copy_(points.mean(dim=0) if mean is None else mean)
    now = draw_starts(model.mean, points, starts or Starts(), generator)
    first = _distance(now, points)
    for step in range(model.cascade):
        now = _fit_step(model, step, gray, points, now, strength, chunk)
        if report is not None:
            residual = _distance(now, points)
            report(
                {
                    "step": step + 1,
                    "steps": model.cascade,
                    "residual": residual,
                    "relative": residual / first,
                    "seconds": time.perf_counter() - begun,
                }
            )
    return model


def _distance(found, true):
    """Mean distance of landmarks, px."""
    return (found - true).norm(dim=-1).mean().item()


# --- following --------------------------------------------------------------------------------


class SDMTracker(nn.Module):
    """A cascade that starts from the mean shape laid over the face of the frame before.

    Only where the face was, how large and how turned is handed on. A cascade that starts from its
    last answer itself adds to that answer's errors in every frame, even one that was fitted on
    views that start near the truth: those tell it to stay where it is.

    Differs from the usual: to start from the points of the last frame.

    Args:
        sdm: a fitted `SDM`.

    State: a tuple of the points (B, N, 2), px of the crop; NaN is a face without past, which
    starts from the mean shape as it is, and so does None. `moves` says that it is points: who
    crops the next frame elsewhere must carry them there.
    """

    moves = True

    def __init__(self, sdm):
        super().__init__()
        self.sdm = sdm

    def step(self, images, state=None):
        """One frame.

        Args:
            images: (B, 3, F, F).
            state: of the frame before, in px of these crops, or None.

        Returns:
            a tuple of the points (B, N, 2) in sides of the crop from its centre, and the state.

        Raises:
            ValueError: images or a state that do not belong to this tracker, or to each other.
        """
        points = self.sdm.forward_all(images, self._start(len(images), state))[-1]
        return (to_sides(points, self.sdm.size),), (points,)

    def _start(self, faces, state):
        if state is None:
            return None
        (past,) = state
        mean = self.sdm.mean
        if past.shape != (faces, *mean.shape):
            raise ValueError(f"the state is {tuple(past.shape)}, not {(faces, *mean.shape)}")
        known = past.isfinite().all(dim=-1).all(dim=-1)  # (B,)
        return torch.where(known[:, None, None], lay_over(mean, past.to(mean)), mean)

    def reset(self, state, lost):
        """The state without the past of the faces where `lost` (B,) is true; None for None."""
        if state is None:
            return None
        return tuple(part.masked_fill(lost[:, None, None], math.nan) for part in state)
