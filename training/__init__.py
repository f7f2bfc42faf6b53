"""What train.py is made of: flags, set-up, augmentation, schedule, progress, resuming, several processes."""
