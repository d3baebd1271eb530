"""Errors as clients see them: RFC 9457 problem documents, and what OpenAPI says of them."""

from __future__ import annotations

from .envelope import PROBLEM_MEDIA_TYPE, problem_response
from .handlers import exception_handlers, outage_response
from .openapi import describe_problems
from .validation import validation_errors

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "describe_problems",
    "exception_handlers",
    "outage_response",
    "problem_response",
    "validation_errors",
]
