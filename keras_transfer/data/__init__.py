"""Examples in, tf.data out."""
