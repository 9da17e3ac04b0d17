"""Hyper-parameter search with KerasTuner that keeps what it has found."""
