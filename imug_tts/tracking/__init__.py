"""Trackers: progress of runs on the console and in wandb."""
