"""Building blocks of the demo's sounds: random curves and rhythms, modes, noise, filters.

Times are in seconds, frequencies in Hz, signals (n,) float64 at RATE.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, lfilter, sosfilt

RATE = 44100


def seconds(n: int) -> np.ndarray:
    """The times of n samples."""
    return np.arange(n) / RATE


def log_uniform(rng: Generator, low: float, high: float, size: int | None = None) -> float | np.ndarray:
    """Uniform on a logarithmic scale, as pitches, rates and decays are heard."""
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def wander(rng: Generator, n: int, low: float, high: float, turns: float) -> np.ndarray:
    """A curve (n,) through random points in [low, high], `turns` of them a second."""
    points = rng.uniform(low, high, int(turns * n / RATE) + 2)
    return np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)


def rhythm(rng: Generator, n: int, gap: float, jitter: float) -> np.ndarray:
    """Onsets in samples, the first at 0, `gap` seconds apart give or take a share `jitter` of it."""
    gaps = gap * (1 + jitter * rng.uniform(-1, 1, int(n / RATE / gap / (1 - jitter)) + 1))
    onsets = (RATE * (np.cumsum(gaps) - gaps[0])).astype(int)
    return onsets[onsets < n]


def sparse(rng: Generator, n: int, rate: float) -> np.ndarray:
    """Impulses (n,) at random times, `rate` a second, few loud and many soft; never silent."""
    impulses = np.zeros(n)
    count = 1 + rng.poisson(rate * n / RATE)
    impulses[rng.integers(0, n, count)] = rng.lognormal(0, 0.7, count)
    return impulses


def overlay(n: int, onsets: np.ndarray, events: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of events that start at the given samples, cut at n."""
    out = np.zeros(n)
    for at, event in zip(onsets, events, strict=True):
        out[at : at + len(event)] += event[: n - at]
    return out


def modes(pitches: np.ndarray, decays: np.ndarray, gains: np.ndarray, n: int) -> np.ndarray:
    """A struck object: the sum of its damped modes (van den Doel & Pai, "The sounds of physical objects", 1998).

    A decaying sine is what a two-pole filter answers to an impulse, and costs less that way than sine and exponential.
    """
    impulse = np.zeros(n)
    impulse[0] = 1
    radii, angles = np.exp(-1 / (decays * RATE)), 2 * np.pi * pitches / RATE
    poles = zip(radii, angles, gains, strict=True)
    return sum(lfilter([0, g * r * np.sin(w)], [1, -2 * r * np.cos(w), r * r], impulse) for r, w, g in poles)


def phase(pitch: np.ndarray) -> np.ndarray:
    """Phase in radians of an oscillator whose pitch varies."""
    return 2 * np.pi * np.cumsum(pitch) / RATE


def decaying_noise(rng: Generator, decay: float, length: float) -> np.ndarray:
    """White noise whose level falls by 1/e every `decay` seconds."""
    n = int(length * RATE)
    return rng.standard_normal(n) * np.exp(-seconds(n) / decay)


def resonate(sound: np.ndarray, pitch: float, width: float) -> np.ndarray:
    """Two-pole resonance of gain near 1 at its centre."""
    radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * pitch / RATE
    gain = (1 - radius) * abs(1 - radius * np.exp(-2j * angle))
    return lfilter([gain], [1, -2 * radius * np.cos(angle), radius**2], sound)


def band(sound: np.ndarray, low: float, high: float) -> np.ndarray:
    """Second-order Butterworth band-pass."""
    return sosfilt(butter(2, [low, high], "band", fs=RATE, output="sos"), sound)


def low_pass(sound: np.ndarray, cutoff: float) -> np.ndarray:
    """First-order low-pass, -6 dB an octave."""
    pole = np.exp(-2 * np.pi * cutoff / RATE)
    return lfilter([1 - pole], [1, -pole], sound)


def fade(sound: np.ndarray, length: float = 0.001) -> np.ndarray:
    """Raise and lower the ends over `length` seconds, so that a cut makes no click."""
    n = min(int(length * RATE), len(sound) // 2)
    ramp = np.ones(len(sound))
    ramp[:n], ramp[len(sound) - n :] = np.linspace(0, 1, n), np.linspace(1, 0, n)
    return sound * ramp
