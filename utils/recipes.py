"""Named presets of train.py's flags; a flag on the command line overrides its recipe."""

from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "original": {},  # the defaults, which are those of the solution that this repository reproduces
    "improved": {
        "optimizer": "adamw",
        "l_rate": 2e-3,
        "weight_decay": 0.05,
        "num_cycles": 1,
        "curated_share": 0.9,
        "dropout_rate": 0.2,
        "use_mix_up": True,
        "use_spec_aug": True,
    },
}


def describe(name: str, args: Any) -> str:
    """The recipe's flags with the values that they have in this run."""
    flags = [f"--{flag} {getattr(args, flag)}" for flag in RECIPES[name]]
    return f"recipe {name}: {' '.join(flags) or 'the defaults'}"
