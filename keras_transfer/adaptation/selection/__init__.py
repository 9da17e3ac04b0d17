"""Choosing among adapted models without the target's labels."""
