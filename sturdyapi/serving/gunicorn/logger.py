"""Gunicorn's own lines, in the form of the app's: `--logger-class` of `sturdyapi run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn.glogging import Logger

from sturdyapi.serving.server_log import ServerLog

if TYPE_CHECKING:
    from sturdyapi.serving.server_log import LogFormat

__all__ = ["EcsLogger", "JsonLogger", "SharedLogger", "TextLogger"]


class SharedLogger(Logger):
    """Writes by way of our log lines, as every app of ours does."""

    form: ClassVar[LogFormat]

    def setup(self, cfg: Any) -> None:
        """Take over what Gunicorn sets up."""
        super().setup(cfg)
        self.server_log = ServerLog(format=self.form, level=cfg.loglevel)
        self.server_log.begin()


class JsonLogger(SharedLogger):
    """One JSON object a line."""

    form = "json"


class EcsLogger(SharedLogger):
    """One JSON object a line, with the field names of the Elastic Common Schema."""

    form = "ecs"


class TextLogger(SharedLogger):
    """For people."""

    form = "text"
