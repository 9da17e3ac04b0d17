"""Whether TF Serving would serve a version as Keras evaluated it."""
