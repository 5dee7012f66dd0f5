"""Smooth signals of time that make things move: the same for a head, a camera or a lamp.

Times are in frames of 1 / FPS s and may be fractions of a frame.
"""

from dataclasses import dataclass

import numpy as np

FPS = 25.0


@dataclass(frozen=True)
class Wander:
    """A smooth signal of standard deviation 1 in the long run: a sum of sinusoids.

    Attributes:
        frequency: (k,) Hz.
        weight: (k,) amplitudes.
        phase: (k,) radians.
    """

    frequency: np.ndarray
    weight: np.ndarray
    phase: np.ndarray

    def __call__(self, time):
        """Values at times (...,) in frames, (...,); never beyond the sum of the weights."""
        turn = 2 * np.pi * self.frequency * np.asarray(time, float)[..., None] / FPS
        return (self.weight * np.sin(turn + self.phase)).sum(-1)


def wander(rng, low=0.12, high=0.7):
    """A random Wander of four sinusoids between low and high Hz; the slower, the larger."""
    frequency = low * (high / low) ** ((np.arange(4) + rng.random(4)) / 4)
    weight = (low / frequency) ** 0.5
    weight = weight * np.sqrt(2 / (weight**2).sum())
    return Wander(frequency, weight, rng.uniform(0, 2 * np.pi, 4))


def limited(signal, time, spread):
    """A signal at times (...,), of a standard deviation of about `spread`, and within 1.5 of it."""
    return spread * 1.5 * np.tanh(signal(time) / 1.5)


def bumps(time, middles, lengths, heights):
    """The sum of raised cosines.

    Args:
        time: (...,) frames.
        middles, lengths, heights: (k,) of each; a bump is 0 from half its length on.
    """
    time = np.asarray(time, float)
    out = np.zeros(time.shape)
    for middle, length, height in zip(middles, lengths, heights, strict=True):
        u = np.clip(2 * (time - middle) / length, -1, 1)
        out += 0.5 * height * (1 + np.cos(np.pi * u))
    return out


def crossing(time, middle, length):
    """Where something is that crosses a place, -1 … 1, slow in the middle; beyond where it is not.

    Args:
        time: (...,) frames.
        middle: frame at which it is in the middle, 0.
        length: frames from -1 to 1.
    """
    u = 2 * (np.asarray(time, float) - middle) / length
    return 0.3 * u + 0.7 * u**3
