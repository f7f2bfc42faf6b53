"""What several scripts share: augmentation, schedule, metric, checkpoints, prediction, run names, errors."""
