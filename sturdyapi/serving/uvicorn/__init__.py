"""Uvicorn that leaves service step by step, in one process or several."""
