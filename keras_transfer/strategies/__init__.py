"""Which weights move, how fast, and towards what."""
