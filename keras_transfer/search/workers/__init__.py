"""Several processes that search together."""
