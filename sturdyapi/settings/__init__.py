"""Settings of a service: read once, checked completely, never printed."""

from __future__ import annotations

from .access import SCOPE_KEY, settings_of
from .base import BaseSettings, Environment, LogFormat, LogLevel
from .dsn import Dsn
from .expectations import Expected
from .failing_start import report_failing_start
from .secrecy import looks_secret, secret_values

__all__ = [
    "SCOPE_KEY",
    "BaseSettings",
    "Dsn",
    "Environment",
    "Expected",
    "LogFormat",
    "LogLevel",
    "looks_secret",
    "report_failing_start",
    "secret_values",
    "settings_of",
]
