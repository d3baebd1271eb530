"""From an app's settings, and what was asked for, to what a server is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from sturdyapi.exceptions import CommandError
from sturdyapi.resources import Adapter, ResourceRegistry
from sturdyapi.settings import BaseSettings

from .asgi import layers_of
from .capacity import choose_workers, cpu_limit
from .lines import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .capacity import Workers

__all__ = ["make_plan"]

# Below INFO servers tell how they are built, their whole configuration included.
_SERVER_LEVELS = {"TRACE": "info", "DEBUG": "info", "SUCCESS": "info"}


def make_plan(
    app: object,
    import_string: str,
    *,
    host: str | None,
    port: int | None,
    workers: str | None,
    default_workers: int | Literal["auto"] = "auto",
    options: Sequence[str] = (),
) -> tuple[Plan, Workers]:
    """Return what a server is told, and why it gets that many workers.

    What is `None` comes from the settings of an app that `create_app()` made, else from the
    environment.

    Raises:
        CommandError: The number of workers makes no sense.
        SettingsError: The app has no settings, and those of the environment are wrong.
    """
    own = _made_by_us(app)
    settings = BaseSettings.load() if own is None else own.settings
    count = choose_workers(
        _requested(workers, settings.workers or default_workers),
        cpu_limit(),
        pools=_pools_of(own),
        connection_budget=settings.connection_budget,
    )
    if workers is None and settings.workers is None and default_workers != "auto":
        count = replace(count, reason="the default of this server")
    level = settings.log_level
    plan = Plan(
        app=import_string,
        host=host or settings.bind_host,
        port=settings.port if port is None else port,
        workers=count.count,
        trusted_proxies=settings.trusted_proxies,
        # Another app has no readiness that could be seen to turn.
        delay_seconds=0 if own is None else settings.shutdown_delay_seconds,
        grace_seconds=settings.shutdown_grace_seconds,
        log_format=settings.log_format,
        log_level=_SERVER_LEVELS.get(level, level.lower()),
        options=options,
    )
    return plan, count


def _made_by_us(app: object) -> Any:
    """Return the app that `create_app()` made, inside of what is wrapped around it, or `None`."""
    for layer in layers_of(app):
        if isinstance(getattr(layer, "settings", None), BaseSettings):
            return layer
    return None


def _requested(
    workers: str | None, default: int | Literal["auto"]
) -> int | Literal["auto", "2n+1"]:
    if workers is None:
        return default
    if workers in ("auto", "2n+1"):
        return cast("Literal['auto', '2n+1']", workers)
    try:
        return int(workers)
    except ValueError:
        raise CommandError(f"--workers is '{workers}'. Give a number, auto or 2n+1.") from None


def _pools_of(app: Any) -> dict[str, int]:
    resources = getattr(app, "resources", None)
    if not isinstance(resources, ResourceRegistry):
        return {}
    adapters = [each for each in resources if isinstance(each, Adapter)]
    return {each.name: each.max_connections for each in adapters if each.max_connections}
