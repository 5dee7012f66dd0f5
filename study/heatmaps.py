"""Between landmarks and heatmaps: targets, decoders and the quantization error.

Points are 0-based px with pixel centres at integers, so a face crop of F px spans
[-0.5, F - 0.5]. Bin i of L has its centre at (i + 0.5) * F / L - 0.5. This file alone
converts between px and bins. Pure functions of torch tensors; no argument is written to.
"""

import math

import torch

TINY = 1e-12  # keeps logarithms and ratios finite where a heatmap is zero


def quantize(points, size, length):
    """Points after the paper's rounding down to a bin and back (Eq. 3, 4).

    Args:
        points: (..., 2) px of the crop, taken as the paper has them: a crop spans [0, F).
        size: F, side of the crop, in px.
        length: L, number of bins along each axis.

    Returns:
        (..., 2) px, the start of the bin that each coordinate falls into.
    """
    return torch.floor(points * length / size) * size / length


def half_bin(size, length):
    """From the start of a bin as the paper puts it (Eq. 4) to its centre: 0.5 F / L - 0.5 px.

    Half a bin, less the half pixel by which px that start at 0 differ from ours.
    """
    return 0.5 * size / length - 0.5


def quantize_to_centres(points, size, length):
    """Centres of the bins that the paper rounds points down to (Eq. 3): (..., 2) px -> (..., 2) px.

    Where the paper's rule puts the peak of a target; reading it back at the start of its bin
    (Eq. 4, `quantize`) is `half_bin` less.
    """
    return quantize(points, size, length) + half_bin(size, length)


def quantization_error(points, size, length):
    """Distance between a point and what rounding leaves of it (Eq. 5).

    Args:
        points: (..., 2) px of the crop.
        size, length: F in px and L in bins.

    Returns:
        (...,) px.
    """
    return (points - quantize(points, size, length)).norm(dim=-1)


def to_bins(points, size, length):
    """Continuous bin coordinates of points: px (..., 2) -> bins (..., 2).

    Differs from the paper: Eq. 3 puts the start of bin 0 at px 0; we put its centre at
    0.5 * F / L - 0.5, so that mirroring a face mirrors its bins exactly.
    """
    return (points + 0.5) * (length / size) - 0.5


def to_pixels(bins, size, length):
    """The inverse of `to_bins`: bins (..., 2) -> px of the crop (..., 2)."""
    return (bins + 0.5) * (size / length) - 0.5


def _exponent(center, length, sigma):
    bins = torch.arange(length, dtype=center.dtype, device=center.device)
    return -((bins - center[..., None]) ** 2) / (2 * sigma**2)  # (..., L)


def _lowest(dtype):
    """Below the smallest normal number exp() is ten times slower, and as good as zero."""
    return math.log(torch.finfo(dtype).tiny)


def _gaussian(center, length, sigma):
    return _exponent(center, length, sigma).clamp(min=_lowest(center.dtype)).exp()


def _distribution(center, length, sigma):
    exponent = _exponent(center, length, sigma)
    below = exponent - exponent.amax(dim=-1, keepdim=True)
    return below.clamp(min=_lowest(center.dtype)).softmax(dim=-1)


def marginal_targets(points, size, length, sigma):
    """Target heatmaps along x and along y, Gaussians around the continuous landmark (Eq. 12).

    Args:
        points: (..., N, 2) px of the crop.
        size, length: F in px and L in bins.
        sigma: standard deviation of the Gaussian, in bins.

    Returns:
        h_x, h_y: each (..., N, L), with peak 1 at the landmark.

    Differs from the paper: scaled to peak 1, where a marginal of a density sums to 1 and would
    peak at 1 / (sigma * sqrt(2 pi)): 0.015 for sigma = 27 bins at L = 768.
    """
    center = to_bins(points, size, length)
    return _gaussian(center[..., 0], length, sigma), _gaussian(center[..., 1], length, sigma)


def joint_targets(points, size, length, sigma):
    """Target 2D heatmaps, Gaussians around the continuous landmark, peak 1 (Eq. 2).

    Args:
        points, size, length, sigma: as in `marginal_targets`.

    Returns:
        (..., N, L, L), rows along y and columns along x.
    """
    h_x, h_y = marginal_targets(points, size, length, sigma)
    return h_y[..., :, None] * h_x[..., None, :]


def distribution_targets(points, size, length, sigma):
    """Target distributions over the bins of x and of y, SimCC's soft labels of its classes.

    exp(-(i - c)^2 / (2 sigma^2)) over its sum, i a bin and c the landmark in bins: the Gaussian
    of Li et al. 2022 ("SimCC", ECCV, Section 3), whose released code takes c = k p for L = k F.

    Args:
        points, size, length, sigma: as in `marginal_targets`.

    Returns:
        p_x, p_y: each (..., N, L), each row positive with sum 1.

    Differs from SimCC: c follows this study's bins, whose centres mirror; and the sum is 1 at the
    border of the crop too, where SimCC's 1 / (sigma sqrt(2 pi)) leaves less. Of a landmark
    outside the crop, the Gaussian's tail inside becomes the distribution.
    """
    center = to_bins(points, size, length)
    p_x, p_y = (_distribution(c, length, sigma) for c in center.unbind(dim=-1))
    return p_x, p_y


# --- decoders along one axis: heatmaps (..., L) -> position in bins (...,) ---------------------


def _at(values, index):
    """values[..., index] for one index a row; an index beyond the border takes the border's."""
    index = index.clamp(0, values.shape[-1] - 1)
    return values.gather(-1, index[..., None]).squeeze(-1)


def _neighbours(h):
    """Peak bin and the values below, at and above it; and where both neighbours exist."""
    peak = h.argmax(dim=-1)
    inside = (peak > 0) & (peak < h.shape[-1] - 1)
    return peak, _at(h, peak - 1), _at(h, peak), _at(h, peak + 1), inside


def _argmax(h, sigma):
    return h.argmax(dim=-1).to(h.dtype)


def _quarter(h, sigma):
    """A quarter of a bin from the peak towards its larger neighbour; borders stay.

    Differs from FAN's code in 2D: each axis by itself, where FAN leaves both of them alone when
    the peak is at the border of one.
    """
    peak, below, _, above, inside = _neighbours(h)
    return peak + 0.25 * torch.sign(above - below) * inside


def _fractional(h, sigma):
    """FHR's fraction: two samples of a Gaussian of known width give its centre exactly.

    With the next bin: x = x0 + 1/2 + s^2 ln(h(x0 + 1) / h(x0)); the last bin takes the one before,
    x = x0 - 1/2 - s^2 ln(h(x0 - 1) / h(x0)) (Tai et al. 2019, AAAI, "FHR"). Where `sigma` is None,
    s^2 comes from the curvature of ln h at the peak.

    Differs from FHR: at most one bin from the peak, since noise makes the ratio arbitrary.
    """
    peak, below, top, above, inside = _neighbours(h.clamp(min=TINY).log())
    if sigma is None:
        variance = torch.where(inside, 1 / (2 * top - below - above).clamp(min=TINY), 0.5)
    else:
        variance = sigma**2
    side = torch.where(peak < h.shape[-1] - 1, 1.0, -1.0).to(h.dtype)
    ratio = torch.where(side > 0, above, below) - top
    return peak + (side * (0.5 + variance * ratio)).clamp(-1, 1)


def _smooth(h, sigma):
    """Gaussian blur along the last axis, normalised at the borders too: (..., L) -> (..., L)."""
    if sigma is None:
        return h
    radius = max(1, round(3 * sigma))
    taps = torch.arange(-radius, radius + 1, dtype=h.dtype, device=h.device)
    kernel = torch.exp(-(taps**2) / (2 * sigma**2))[None, None]
    rows = h.reshape(-1, 1, h.shape[-1])
    blurred = torch.nn.functional.conv1d(rows, kernel, padding=radius)
    weight = torch.nn.functional.conv1d(torch.ones_like(rows[:1]), kernel, padding=radius)
    return (blurred / weight).reshape(h.shape)


def _taylor(h, sigma):
    """DARK's step along one axis: x = m - dx / dxx of ln h, from the peak m of the blurred map.

    Blurred with the target's own sigma where one is given, as DARK does (Zhang et al. 2020, CVPR);
    nearer than three sigma to the border the blur draws it there, by up to a sigma. At most one
    bin from that peak.

    Differs from DARK's code: m is the blurred map's peak and not the plain one's, and dxx is
    taken over one bin either side and not two, so that only the outermost bins are left alone.
    Of a Gaussian, all of these give the same.
    """
    logs = _smooth(h.clamp(min=0), sigma).clamp(min=TINY).log()
    peak, below, top, above, inside = _neighbours(logs)
    slope, curvature = (above - below) / 2, above - 2 * top + below
    step = -slope / curvature.clamp(max=-TINY)
    return peak + step.clamp(-1, 1) * inside


def _center(weight):
    """Centre of mass along the last axis: (..., L) -> bins (...,)."""
    bins = torch.arange(weight.shape[-1], dtype=weight.dtype, device=weight.device)
    return (weight * bins).sum(-1) / weight.sum(-1)


def _local(h, sigma):
    """Centre of mass within a tenth of the axis (2 bins at least) either side of the peak."""
    radius = max(2, -(-h.shape[-1] // 10))
    bins = torch.arange(h.shape[-1], device=h.device)
    peak = h.argmax(dim=-1, keepdim=True)
    return _center(h.clamp(min=0) * ((bins - peak).abs() <= radius) + TINY * (bins == peak))


def _integral(h, sigma):
    """Centre of mass of the whole axis, negative values set to zero (integral regression)."""
    return _center(h.clamp(min=0) + TINY)


DECODERS = {
    "argmax": _argmax,
    "quarter": _quarter,
    "fractional": _fractional,
    "taylor": _taylor,
    "local": _local,
    "integral": _integral,
}


def _decoder(name, known):
    if name not in known:
        raise ValueError(f"decoder {name!r} is unknown; there are {', '.join(known)}")
    return known[name]


def decode_marginals(h_x, h_y, size, decoder="argmax", sigma=None):
    """Points from a pair of marginal heatmaps (Eq. 7).

    Args:
        h_x, h_y: heatmaps along x and along y, each (..., N, L), of any scale.
        size: F, the side of the square face crop, in px.
        decoder: a key of DECODERS; "argmax" is the paper's.
        sigma: the targets' standard deviation in bins, for the decoders that can use it
            ("fractional", "taylor"); None where it is unknown.

    Returns:
        (..., N, 2) points (x, y) in px of the crop: 0-based, pixel centres at integers.

    Raises:
        ValueError: the shapes differ or the decoder is unknown.

    Differs from the paper: Eq. 7 returns the start of a bin, half a bin low on average and not
    symmetric under mirroring. We return the bin's centre; `quantize` keeps the literal rule.
    """
    if h_x.shape != h_y.shape:
        raise ValueError(f"h_x is {tuple(h_x.shape)}, h_y is {tuple(h_y.shape)}")
    position = _decoder(decoder, DECODERS)
    bins = torch.stack([position(h_x, sigma), position(h_y, sigma)], dim=-1)  # (..., N, 2)
    return to_pixels(bins, size, h_x.shape[-1])


# --- decoders of joint heatmaps (..., L, L) -> bins (x, y) (..., 2) ----------------------------


def _peak_2d(h):
    length = h.shape[-1]
    flat = h.flatten(-2).argmax(dim=-1)
    return flat % length, flat // length  # x, y


def _cell(h, x, y):
    length = h.shape[-1]
    index = y.clamp(0, length - 1) * length + x.clamp(0, length - 1)
    return h.flatten(-2).gather(-1, index[..., None]).squeeze(-1)


def _through_peak(position):
    """A one-axis decoder applied to the row and the column through the peak of a 2D heatmap."""

    def decode(h, sigma):
        x, y = _peak_2d(h)
        row = h.gather(-2, y[..., None, None].expand(*y.shape, 1, h.shape[-1])).squeeze(-2)
        column = h.gather(-1, x[..., None, None].expand(*x.shape, h.shape[-1], 1)).squeeze(-1)
        return torch.stack([position(row, sigma), position(column, sigma)], dim=-1)

    return decode


def _smooth_2d(h, sigma):
    return _smooth(_smooth(h, sigma).transpose(-1, -2), sigma).transpose(-1, -2)


def _taylor_2d(h, sigma):
    """DARK: one Newton step -H^-1 D on ln of the blurred map, from its peak; borders stay."""
    logs = _smooth_2d(h.clamp(min=0), sigma).clamp(min=TINY).log()
    x, y = _peak_2d(logs)
    edge = logs.shape[-1] - 1
    inside = (x > 0) & (x < edge) & (y > 0) & (y < edge)
    top = _cell(logs, x, y)
    left, right = _cell(logs, x - 1, y), _cell(logs, x + 1, y)
    up, down = _cell(logs, x, y - 1), _cell(logs, x, y + 1)
    dx, dy = (right - left) / 2, (down - up) / 2
    dxx, dyy = right - 2 * top + left, down - 2 * top + up
    dxy = (
        _cell(logs, x + 1, y + 1)
        - _cell(logs, x - 1, y + 1)
        - _cell(logs, x + 1, y - 1)
        + _cell(logs, x - 1, y - 1)
    ) / 4
    determinant = dxx * dyy - dxy**2
    sound = inside & (determinant > TINY) & (dxx < 0)  # a proper maximum
    determinant = torch.where(sound, determinant, 1.0)
    step_x = (dxy * dy - dyy * dx) / determinant
    step_y = (dxy * dx - dxx * dy) / determinant
    step = torch.stack([step_x, step_y], dim=-1).clamp(-1, 1) * sound[..., None]
    return torch.stack([x, y], dim=-1) + step


def _local_2d(h, sigma):
    """Centre of mass of the square window of `_local` around the peak."""
    length = h.shape[-1]
    radius = max(2, -(-length // 10))
    bins = torch.arange(length, device=h.device)
    x, y = _peak_2d(h)
    near_x = (bins - x[..., None]).abs() <= radius  # (..., L)
    near_y = (bins - y[..., None]).abs() <= radius
    window = h.clamp(min=0) * near_y[..., :, None] * near_x[..., None, :]
    here = (bins == y[..., None])[..., :, None] & (bins == x[..., None])[..., None, :]
    return _center_2d(window + TINY * here)


def _center_2d(weight):
    return torch.stack([_center(weight.sum(dim)) for dim in (-2, -1)], dim=-1)


def _integral_2d(h, sigma):
    return _center_2d(h.clamp(min=0) + TINY)


JOINT_DECODERS = {
    "argmax": _through_peak(_argmax),
    "quarter": _through_peak(_quarter),
    "fractional": _through_peak(_fractional),
    "taylor": _taylor_2d,
    "local": _local_2d,
    "integral": _integral_2d,
}


def decode_joint(h, size, decoder="argmax", sigma=None):
    """Points from 2D heatmaps.

    Args:
        h: (..., N, L, L), rows along y and columns along x, of any scale.
        size: F, the side of the square face crop, in px.
        decoder: a key of JOINT_DECODERS.
        sigma: the targets' standard deviation in bins, or None where it is unknown.

    Returns:
        (..., N, 2) points (x, y) in px of the crop.

    Raises:
        ValueError: the heatmaps are not square or the decoder is unknown.
    """
    if h.shape[-1] != h.shape[-2]:
        raise ValueError(f"heatmaps are {h.shape[-2]} x {h.shape[-1]}, not square")
    bins = _decoder(decoder, JOINT_DECODERS)(h, sigma)  # (..., N, 2)
    return to_pixels(bins, size, h.shape[-1])
