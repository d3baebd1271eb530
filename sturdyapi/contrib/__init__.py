"""Adapters to databases, brokers and services.

Each needs an extra; none acts by being installed.
"""
