"""One trial: its training, its files, how it ends."""
