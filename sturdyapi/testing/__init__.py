"""Tools for testing a service."""
