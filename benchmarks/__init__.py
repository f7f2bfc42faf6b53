"""Measured claims, each one command: `python benchmarks/NAME.py -h`.  `all.sh` runs those that need no GPU."""
