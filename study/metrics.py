"""Errors of landmarks and their intervals. Pure functions; errors are fractions, not percent."""

import numpy as np
import torch

from study.landmarks import IBUG68


def point_errors(predicted, truth):
    """Distance between each predicted landmark and the truth: (B, N, 2) px, twice -> (B, N) px."""
    return (predicted - truth).norm(dim=-1)


def nrmse(predicted, truth, normalizer):
    """The paper's NRMSE of each face: mean distance over landmarks by the normaliser.

    Args:
        predicted, truth: (B, N, 2) px.
        normalizer: (B,) px of the same image, e.g. `interocular(truth)`.

    Returns:
        (B,) fractions.

    Differs from its name: the field (300W, FHR, RED-Net, HRNet) takes the mean of the distances;
    the root of the mean square is `rms_error`.
    """
    return point_errors(predicted, truth).mean(dim=-1) / normalizer


def rms_error(predicted, truth, normalizer):
    """Root of the mean squared distance over landmarks, by the normaliser: (B,) fractions."""
    return point_errors(predicted, truth).square().mean(dim=-1).sqrt() / normalizer


def interocular(truth):
    """Distance of the outer eye corners of 68-point faces: (B, 68, 2) px -> (B,) px."""
    left, right = IBUG68.eye_corners
    return (truth[..., left, :] - truth[..., right, :]).norm(dim=-1)


def interpupil(truth):
    """Distance of the centres of the six points of each eye: (B, 68, 2) px -> (B,) px."""
    return (truth[..., 36:42, :].mean(-2) - truth[..., 42:48, :].mean(-2)).norm(dim=-1)


def area_nrmse(predicted, truth, normalizer, scheme):
    """NRMSE over the landmarks of each facial area: a dict from area to (B,) fractions."""
    errors = point_errors(predicted, truth) / normalizer[:, None]  # (B, N)
    return {area: errors[:, list(index)].mean(dim=-1) for area, index in scheme.areas.items()}


def cumulative_errors(errors, limit=0.08, steps=161):
    """Cumulative error distribution: the share of faces at or below each threshold.

    Args:
        errors: (B,) fractions.
        limit: the largest threshold, a fraction.
        steps: number of thresholds, from 0 to the limit, both included.

    Returns:
        thresholds (steps,), shares (steps,).
    """
    thresholds = torch.linspace(0, limit, steps, dtype=errors.dtype, device=errors.device)
    ordered = errors.sort().values
    shares = torch.searchsorted(ordered, thresholds, right=True).to(errors.dtype) / len(errors)
    return thresholds, shares


def area_under_curve(errors, limit=0.08):
    """Area under the cumulative error curve up to the limit, by the limit; exact, in [0, 1]."""
    return (1 - errors.clamp(max=limit) / limit).mean()


def failure_rate(errors, limit=0.08):
    """Share of faces whose error exceeds the limit."""
    return (errors > limit).to(errors.dtype).mean()


# --- intervals by bootstrap: numpy, since they work on tables of results -----------------------


def _resample(errors, faces, rng):
    """Means (draws,) of errors (S, B) over faces drawn beforehand and seeds drawn here."""
    seeds = rng.integers(len(errors), size=(len(faces), len(errors)))
    by_seed = np.stack([row[faces].mean(axis=1) for row in errors], axis=1)  # (draws, S)
    return np.take_along_axis(by_seed, seeds, axis=1).mean(axis=1)


def _faces(count, draws, rng):
    return rng.integers(count, size=(draws, count))


def bootstrap_mean(errors, draws=2000, seed=0):
    """Mean error with a 95 % interval over faces and, as a second level, over seeds.

    Args:
        errors: (S, B): the same B faces measured by S trainings that differ in their seed.
        draws: bootstrap draws; each draws faces and seeds with replacement.
        seed: of the draws.

    Returns:
        mean, low, high, in the unit of the errors.
    """
    errors = np.atleast_2d(np.asarray(errors, dtype=float))
    rng = np.random.default_rng(seed)
    means = _resample(errors, _faces(errors.shape[1], draws, rng), rng)
    return errors.mean(), *np.quantile(means, [0.025, 0.975])


def bootstrap_decrease(before, after, draws=2000, seed=0):
    """Relative decrease of the mean error with a 95 % interval, paired over faces.

    Args:
        before, after: (S, B) and (S', B) errors on the same B faces in the same order.

    Returns:
        decrease, low, high: fractions of `before`; positive where `after` is better.

    Raises:
        ValueError: the two do not hold the same number of faces.
    """
    before, after = (np.atleast_2d(np.asarray(e, dtype=float)) for e in (before, after))
    if before.shape[1] != after.shape[1]:
        raise ValueError(f"not paired: {before.shape[1]} and {after.shape[1]} faces")
    rng = np.random.default_rng(seed)
    faces = _faces(before.shape[1], draws, rng)
    decrease = 1 - _resample(after, faces, rng) / _resample(before, faces, rng)
    return 1 - after.mean() / before.mean(), *np.quantile(decrease, [0.025, 0.975])
