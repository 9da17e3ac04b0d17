"""A handle in, a pretrained keras.Model out."""
