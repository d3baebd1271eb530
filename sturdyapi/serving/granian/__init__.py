"""Granian that leaves service step by step, and whose start fails once."""
