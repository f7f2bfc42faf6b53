"""The learning rate as a pure function of the step, so that a resumed run needs no state for it."""

import math

WARM_UP, WARM_UP_START = 0.05, 0.1  # share of all steps; share of the base rate
DROPS = (0.3, 0.6, 0.9)  # shares of all steps after which the rate falls to a tenth


def learning_rate(step: int, n_iter: int, base: float, num_cycles: int = 0) -> float:
    """Rate of step 0..n_iter-1: a linear warm-up, then drops (num_cycles 0) or that many cosine cycles to 0.

    Cosine annealing with warm restarts: Loshchilov & Hutter, "SGDR", 2017, eq. 5.
    """
    warm_up = round(WARM_UP * n_iter)
    if step < warm_up:
        return base * (WARM_UP_START + (1 - WARM_UP_START) * step / warm_up)
    if num_cycles == 0:
        return base * 0.1 ** sum(step >= round(drop * n_iter) for drop in DROPS)
    position = (step - warm_up) / (n_iter - warm_up) * num_cycles % 1
    return base * 0.5 * (1 + math.cos(math.pi * position))
