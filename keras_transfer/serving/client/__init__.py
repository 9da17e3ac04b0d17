"""Asks a server for predictions; importing it takes no TensorFlow for REST."""
