"""What a search knows, on disk."""
