"""The last layer that all networks share."""

import math

from torch import nn


def classifier(in_features: int, n_classes: int) -> nn.Linear:
    """Linear layer whose bias gives every class the probability 1 / n_classes at the start.

    Without it the first steps only unlearn the sigmoid's 0.5 (Lin et al. 2017, section 3.3).
    """
    linear = nn.Linear(in_features, n_classes)
    nn.init.constant_(linear.bias, -math.log(n_classes - 1))
    return linear
