"""What the frozen part of a model gives, kept on disk."""
