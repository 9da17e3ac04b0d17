"""From a Keras model to a version that TF Serving loads."""
