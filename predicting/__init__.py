"""What test.py and merge.py are made of: checkpoints, crops, files of predictions, merging, metrics."""
