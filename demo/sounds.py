"""Fourteen small physical models of everyday sounds: MODELS maps a class to its (rng, n_samples) -> samples.

Every call builds its own instrument (pitch, size, material, damping) and its own performance (rhythm, loudness), so
two clips of a class differ as two recordings do.  Times are in seconds, frequencies in Hz, samples at RATE, n_samples
anything from some 20 ms up.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter, oaconvolve

from demo.synthesis import (
    RATE,
    band,
    decaying_noise,
    fade,
    log_uniform,
    low_pass,
    modes,
    overlay,
    phase,
    resonate,
    rhythm,
    seconds,
    sparse,
    wander,
)


def play(name: str, rng: Generator, n: int) -> np.ndarray:
    """A sound of that class, faded at both ends and brought to a peak of 1: (n,) float32."""
    sound = fade(MODELS[name](rng, n))
    return (sound / max(np.abs(sound).max(), 1e-9)).astype(np.float32)


def acoustic_guitar(rng: Generator, n: int) -> np.ndarray:
    """Plucked strings on a wooden body: Karplus & Strong, "Digital synthesis of plucked-string timbres", 1983."""
    key, softness = log_uniform(rng, 80, 260), rng.uniform(0.1, 0.9)
    onsets = rhythm(rng, n, gap=log_uniform(rng, 0.12, 1.2), jitter=0.15)
    notes = key * 2 ** (rng.choice([0, 2, 4, 7, 9, 12, 16, 19], len(onsets)) / 12)
    plucks = [rng.uniform(0.4, 1) * _pluck(rng, note, softness, 2 * RATE) for note in notes]
    strings = overlay(n, onsets, plucks)
    return strings + rng.uniform(0, 3) * resonate(strings, rng.uniform(90, 130), 20)


def _pluck(rng: Generator, pitch: float, softness: float, n: int) -> np.ndarray:
    """A noise-filled delay line of one period whose loop averages neighbours; computed a period at a time."""
    period = round(RATE / pitch)
    string = np.zeros(n + period + 1)
    burst = lfilter([1 - softness], [1, -softness], rng.standard_normal(period))
    string[1 : period + 1] = burst - burst.mean()
    loss = 0.5 * rng.uniform(0.97, 0.999)
    for at in range(period + 1, len(string), period):
        end = min(at + period, len(string))
        string[at:end] = loss * (string[at - period : end - period] + string[at - period - 1 : end - period - 1])
    return fade(string[1 : n + 1])


def applause(rng: Generator, n: int) -> np.ndarray:
    """A crowd of random claps; each pair of hands resonates somewhere in 0.6 to 2.8 kHz (Peltola et al. 2007)."""
    hands = int(rng.integers(4, 9))
    claps_a_second = log_uniform(rng, 12, 220) / hands
    crowd = np.zeros(n)
    for centre in log_uniform(rng, 600, 2800, hands):
        clap = decaying_noise(rng, rng.uniform(0.003, 0.012), 0.06)
        clap = band(clap, 0.6 * centre, min(2.2 * centre + 2000, 16000))
        crowd += oaconvolve(sparse(rng, n, claps_a_second), clap)[:n]
    return crowd * wander(rng, n, 0.5, 1.0, turns=0.7)


def bass_drum(rng: Generator, n: int) -> np.ndarray:
    """A membrane whose pitch falls as the stroke's tension relaxes, and the beater's click."""
    t = seconds(int(0.9 * RATE))
    rest = log_uniform(rng, 38, 95)
    pitch = rest * (1 + rng.uniform(0.3, 3) * np.exp(-t / rng.uniform(0.01, 0.06)))
    skin = np.sin(phase(pitch)) * np.exp(-t / log_uniform(rng, 0.05, 0.4))
    click = low_pass(rng.standard_normal(len(t)), rng.uniform(800, 6000)) * np.exp(-t / 0.004)
    stroke = skin + rng.uniform(0.1, 1) * click
    onsets = rhythm(rng, n, gap=log_uniform(rng, 0.2, 1.0), jitter=0.1)
    return overlay(n, onsets, [loudness * stroke for loudness in rng.uniform(0.4, 1, len(onsets))])


def chirp_and_tweet(rng: Generator, n: int) -> np.ndarray:
    """A bird repeats a motif of whistled glides, some of them trilled."""
    register = log_uniform(rng, 1800, 6000)
    motif = np.concatenate([_syllable(rng, register) for _ in range(rng.integers(1, 6))])
    onsets = rhythm(rng, n, gap=len(motif) / RATE + log_uniform(rng, 0.02, 0.8), jitter=0.2)
    return overlay(n, onsets, [loudness * motif for loudness in rng.uniform(0.3, 1, len(onsets))])


def _syllable(rng: Generator, register: float) -> np.ndarray:
    n = int(log_uniform(rng, 0.03, 0.3) * RATE)
    start, end = register * rng.uniform(0.7, 1.5, 2)
    trill = 1 + rng.choice([0, 0.08]) * np.sin(2 * np.pi * rng.uniform(15, 60) * seconds(n))
    whistle = np.sin(phase(np.geomspace(start, end, n) * trill)) * np.hanning(n)
    return np.concatenate([whistle, np.zeros(int(rng.uniform(0.01, 0.08) * RATE))])


def church_bell(rng: Generator, n: int) -> np.ndarray:
    """Hum, prime, minor third, fifth, nominal and above, each a beating doublet with its own decay (Rossing 2000)."""
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.16, 5.43]) * rng.normal(1, 0.01, 10)
    partials = log_uniform(rng, 160, 900) * np.repeat(ratios, 2) * (1 + rng.uniform(0, 0.003, 20))
    decays = log_uniform(rng, 0.5, 2.5) * np.repeat(ratios, 2) ** -rng.uniform(0.4, 1.0)
    bell = modes(partials, decays, rng.uniform(0.2, 1, 20), min(n, 4 * RATE))
    onsets = rhythm(rng, n, gap=rng.uniform(0.5, 2.5), jitter=0.1)
    return overlay(n, onsets, [loudness * bell for loudness in rng.uniform(0.5, 1, len(onsets))])


def engine(rng: Generator, n: int) -> np.ndarray:
    """Unevenly firing cylinders ring the exhaust and the casing; the driver plays with the throttle."""
    speed = log_uniform(rng, 14, 60) * wander(rng, n, 1, rng.uniform(1.05, 2.5), turns=0.8)
    strokes = np.cumsum(speed / RATE * (1 + 0.6 * rng.standard_normal(n)))
    fires = np.flatnonzero(np.diff(np.floor(strokes), prepend=-1) > 0)
    pulses = np.zeros(n)
    pulses[fires] = np.resize(rng.uniform(0.5, 1, rng.integers(2, 7)), len(fires))
    gases = lfilter([1], [1, -0.99], pulses) * rng.standard_normal(n)
    driven = pulses + rng.uniform(0.02, 0.2) * gases
    low, mid, high = log_uniform(rng, 50, 160), log_uniform(rng, 180, 500), log_uniform(rng, 700, 2500)
    rattle = rng.uniform(0.05, 0.6) * resonate(driven, high, 300)
    return resonate(driven, low, 40) + rng.uniform(0.3, 1) * resonate(driven, mid, 90) + rattle


def gurgling(rng: Generator, n: int) -> np.ndarray:
    """Rising bubbles: resonance by Minnaert 1933, damping and pitch rise by van den Doel 2005."""
    count = 1 + rng.poisson(log_uniform(rng, 5, 50) * n / RATE)
    onsets = np.sort(rng.integers(0, n, count))
    onsets[0] = min(onsets[0], n // 4)
    radii = np.clip(log_uniform(rng, 0.002, 0.008) * rng.lognormal(0, 0.4, count), 0.001, 0.02)  # metres
    stream = low_pass(rng.standard_normal(n), rng.uniform(400, 2500)) * wander(rng, n, 0.3, 1, turns=3)
    return overlay(n, onsets, [_bubble(rng, radius) for radius in radii]) + rng.uniform(0.005, 0.1) * stream


def _bubble(rng: Generator, radius: float) -> np.ndarray:
    damping = 0.13 / radius + 0.0072 * radius**-1.5  # 1/s
    t = seconds(int(6 / damping * RATE))
    pitch = 3 / radius * (1 + rng.uniform(0, 0.3) * damping * t)
    return rng.uniform(0.1, 1) * np.sin(phase(pitch)) * np.exp(-damping * t)


def hi_hat(rng: Generator, n: int) -> np.ndarray:
    """Six inharmonic square waves as in analogue drum machines, high-passed; closed and open strokes."""
    tones = rng.uniform(200, 420) * np.array([1.0, 1.48, 1.8, 2.55, 2.63, 3.9]) * rng.normal(1, 0.05, 6)
    metal = np.sign(np.sin(2 * np.pi * np.outer(tones, seconds(n)))).sum(axis=0)
    brass = band(metal + rng.uniform(0.5, 4) * rng.standard_normal(n), rng.uniform(3500, 8500), 18000)
    onsets = rhythm(rng, n, gap=log_uniform(rng, 0.1, 0.7), jitter=0.08)
    opened = rng.random(len(onsets)) < rng.choice([0, 0.2, 1])
    decays = np.where(opened, log_uniform(rng, 0.15, 0.6), log_uniform(rng, 0.015, 0.08))
    t = seconds(RATE)
    strokes = [rng.uniform(0.4, 1) * np.exp(-t / decay) for decay in decays]
    return brass * overlay(n, onsets, strokes)


def knock(rng: Generator, n: int) -> np.ndarray:
    """Knuckles on wood: a few short modes of a panel (van den Doel & Pai 1998), in irregular groups."""
    pitches = log_uniform(rng, 110, 500) * np.cumprod(rng.uniform(1.15, 1.9, 6))
    decays = log_uniform(rng, 0.008, 0.04) * (pitches / pitches[0]) ** -0.5
    panel = modes(pitches, decays, rng.uniform(0.2, 1, 6), int(0.3 * RATE))
    onsets = rhythm(rng, n, gap=log_uniform(rng, 0.12, 0.5), jitter=0.4)
    onsets = onsets[(rng.random(len(onsets)) < 0.8) | (onsets == onsets[0])]
    blow = panel + rng.uniform(0.02, 0.5) * decaying_noise(rng, 0.003, 0.3)
    return overlay(n, onsets, [loudness * blow for loudness in rng.uniform(0.3, 1, len(onsets))])


def pipe_organ(rng: Generator, n: int) -> np.ndarray:
    """Chords of pipes with the harmonics of one stop, slow speech and the wind's breath."""
    root, breath = log_uniform(rng, 65, 400), rng.uniform(0.02, 0.4)
    stop = np.arange(1, 13.0) ** -rng.uniform(0.8, 3) * rng.uniform(0.3, 1, 12)
    stop[1::2] *= rng.choice([1, 0.05])  # a stopped pipe has odd harmonics only
    length = int(log_uniform(rng, 0.4, 3) * RATE)
    onsets = rhythm(rng, n, gap=length / RATE, jitter=0)
    chords = []
    for _ in onsets:
        steps = rng.choice([0, 3, 4, 5, 7, 9, 12], rng.integers(1, 5), replace=False)
        pipes = [_pipe(rng, root * 2 ** (step / 12), stop, breath, length) for step in steps]
        chords.append(fade(np.sum(pipes, axis=0), 0.06))
    return overlay(n, onsets, chords)


def _pipe(rng: Generator, pitch: float, stop: np.ndarray, breath: float, n: int) -> np.ndarray:
    """One pipe by a table of a single period, which is far cheaper than a sine per harmonic."""
    harmonics, turn = np.arange(1, len(stop) + 1), np.linspace(0, 1, 2049)
    period = np.where(harmonics * pitch < RATE / 2, stop, 0) @ np.sin(2 * np.pi * np.outer(harmonics, turn))
    tone = np.interp(pitch * rng.normal(1, 0.002) * seconds(n) % 1, turn, period)
    return tone + breath * resonate(rng.standard_normal(n), 2 * pitch, pitch)


def rain(rng: Generator, n: int) -> np.ndarray:
    """Drops on a hard surface as dense random impacts, a distant hiss, and some drops that ring in puddles."""
    impact = band(decaying_noise(rng, log_uniform(rng, 0.0005, 0.004), 0.03), rng.uniform(500, 2500), 14000)
    drops = oaconvolve(sparse(rng, n, log_uniform(rng, 40, 3000)), impact)[:n]
    hiss = low_pass(rng.standard_normal(n), log_uniform(rng, 1500, 12000))
    puddle = modes(log_uniform(rng, 1500, 7000, 3), np.full(3, 0.006), np.ones(3), int(0.04 * RATE))
    plinks = oaconvolve(sparse(rng, n, log_uniform(rng, 1, 30)), puddle)[:n]
    wet = drops / drops.std() + log_uniform(rng, 0.05, 1) * hiss / hiss.std() + rng.uniform(0, 0.6) * plinks
    return wet * wander(rng, n, 0.6, 1, turns=0.5)


def singing(rng: Generator, n: int) -> np.ndarray:
    """Sung vowels by source and filter: a glottal buzz with vibrato through formants (Peterson & Barney 1952)."""
    size, note_length = rng.uniform(0.9, 1.25), int(log_uniform(rng, 0.25, 1.5) * RATE)
    key, breath = log_uniform(rng, 90, 420), rng.uniform(0.01, 0.15)
    onsets = rhythm(rng, n, gap=note_length / RATE, jitter=0)
    vowels = size * rng.choice(VOWELS, len(onsets))
    pitches = key * 2 ** (rng.choice([-3, 0, 2, 4, 7], len(onsets)) / 12)
    notes = [_vowel(rng, pitch, vowel, breath, note_length) for pitch, vowel in zip(pitches, vowels, strict=True)]
    return overlay(n, onsets, notes)


VOWELS = np.array([[270, 2290, 3010], [530, 1840, 2480], [730, 1090, 2440], [570, 840, 2410], [300, 870, 2240]])


def _vowel(rng: Generator, pitch: float, formants: np.ndarray, breath: float, n: int) -> np.ndarray:
    vibrato = 1 + rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(4, 7) * seconds(n))
    turns = np.cumsum(pitch * vibrato * wander(rng, n, 0.99, 1.01, turns=5)) / RATE
    buzz = low_pass(turns % 1 - 0.5, 1500) + breath * rng.standard_normal(n)
    voice = sum(gain * resonate(buzz, f, 60 + f / 20) for f, gain in zip(formants, [1, 0.7, 0.4], strict=True))
    return fade(voice, 0.05)


def siren(rng: Generator, n: int) -> np.ndarray:
    """A horn whose pitch wails slowly, yelps fast or alternates between two tones."""
    low, spread, cycle = log_uniform(rng, 350, 900), rng.uniform(1.25, 2.2), log_uniform(rng, 0.2, 4)
    swing = np.sin(2 * np.pi * (seconds(n) / cycle + rng.random()))
    if rng.random() < 0.3:
        swing = np.sign(swing)
    pitch = low * spread ** (0.5 + 0.5 * swing)
    horn = np.tanh(rng.uniform(0.5, 4) * np.sin(phase(pitch)) + rng.uniform(0, 0.5))
    return band(horn, 200, rng.uniform(2500, 9000)) * wander(rng, n, 0.4, 1, turns=0.6)


def snare_drum(rng: Generator, n: int) -> np.ndarray:
    """The modes of a small drum head and the wires that rattle under it; single strokes or a roll."""
    head = log_uniform(rng, 140, 280) * np.array([1, 1.59, 2.14, 2.3])  # circular membrane, Rayleigh 1877
    length = int(0.5 * RATE)
    body = modes(head, np.full(4, log_uniform(rng, 0.025, 0.12)), rng.uniform(0.3, 1, 4), length)
    wires = band(decaying_noise(rng, log_uniform(rng, 0.03, 0.2), 0.5), rng.uniform(600, 2500), rng.uniform(6e3, 14e3))
    stroke = body / np.abs(body).max() + log_uniform(rng, 0.3, 3) * wires / np.abs(wires).max()
    gap = log_uniform(rng, 0.05, 0.1) if rng.random() < 0.25 else log_uniform(rng, 0.2, 0.9)
    onsets = rhythm(rng, n, gap, jitter=0.1)
    return overlay(n, onsets, [loudness * stroke for loudness in rng.uniform(0.3, 1, len(onsets))])


MODELS: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "Acoustic_guitar": acoustic_guitar,
    "Applause": applause,
    "Bass_drum": bass_drum,
    "Chirp_and_tweet": chirp_and_tweet,
    "Church_bell": church_bell,
    "Engine": engine,
    "Gurgling": gurgling,
    "Hi-hat": hi_hat,
    "Knock": knock,
    "Pipe_organ": pipe_organ,
    "Rain": rain,
    "Singing": singing,
    "Siren": siren,
    "Snare_drum": snare_drum,
}
