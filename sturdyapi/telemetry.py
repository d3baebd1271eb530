"""Whether OpenTelemetry was set up, asked once a request and for less than FastAPI asks.

FastAPI looks at three providers and the environment for each request, about a tenth of the time
that a small one takes. As long as nobody has set a provider, the answer stands in three variables.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import fastapi
from fastapi import FastAPI
from opentelemetry import _logs as logs_api
from opentelemetry import metrics as metrics_api
from opentelemetry import trace
from opentelemetry._logs import _internal as logs
from opentelemetry.metrics import _internal as metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["may_skip", "nothing_is_set_up"]

_TESTED = "0.165."
_STOCK_CALL = FastAPI.__call__
_VARIABLES = (
    "OTEL_PYTHON_LOGGER_PROVIDER",
    "OTEL_PYTHON_METER_PROVIDER",
    "OTEL_PYTHON_TRACER_PROVIDER",
)
_get_logger_provider = logs_api.get_logger_provider
_get_meter_provider = metrics_api.get_meter_provider
_get_tracer_provider = trace.get_tracer_provider
_CONFIGURED = ("logger_provider", "meter_provider", "tracer_provider")


def may_skip(config: Mapping[str, Any]) -> bool:
    """Tell whether FastAPI's own question may be left out while `nothing_is_set_up()`.

    Not for a FastAPI that was not tested or was patched, an app with providers of its own, or an
    environment that names some; nor where OpenTelemetry's variables have moved.
    """
    return (
        fastapi.__version__.startswith(_TESTED)
        and FastAPI.__call__ is _STOCK_CALL
        and not any(config.get(name) is not None for name in _CONFIGURED)
        and not any(name in os.environ for name in _VARIABLES)
        and hasattr(trace, "_TRACER_PROVIDER")
        and hasattr(metrics, "_METER_PROVIDER")
        and hasattr(logs, "_LOGGER_PROVIDER")
    )


def nothing_is_set_up() -> bool:
    """Tell whether no provider was set for the process, nor the way to it replaced."""
    return (
        trace.get_tracer_provider is _get_tracer_provider
        and metrics_api.get_meter_provider is _get_meter_provider
        and logs_api.get_logger_provider is _get_logger_provider
        and trace._TRACER_PROVIDER is None  # noqa: SLF001
        and metrics._METER_PROVIDER is None  # noqa: SLF001
        and logs._LOGGER_PROVIDER is None  # noqa: SLF001
    )
