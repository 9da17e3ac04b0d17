"""Running Keras well."""
