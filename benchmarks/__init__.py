"""Figures side by side with what a user would pick instead; each script's last line is JSON."""
