"""Gunicorn whose workers leave service step by step, and whose log is the app's."""
