"""TensorFlow's C API in a process of its own, where nothing imports TensorFlow for Python."""
