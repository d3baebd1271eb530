"""What the service reads from its environment."""

from __future__ import annotations

from pydantic import Field

from sturdyapi import BaseSettings, Dsn


class Settings(BaseSettings):
    """The settings of the service, beside those that every service has."""

    database_url: Dsn = Field(
        description="PostgreSQL to keep the notes in; `embedded:` starts one for development."
    )
