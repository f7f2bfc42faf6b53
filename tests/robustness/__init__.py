"""Attacks on the loop and on what it reads.  `make test` runs each in small, `make robustness` in full."""
