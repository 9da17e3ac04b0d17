"""One file a method: its loss as a function, and what it takes of the batches of two domains."""
