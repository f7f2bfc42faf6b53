"""The tests.  A package, so that `tests.robustness` is this one and not one that somebody else installed."""
