"""The app; `uvicorn notes.main:app` serves it."""

from __future__ import annotations

from sturdyapi import create_app

from . import notes, users
from .database import pg, schema
from .settings import Settings

app = create_app(
    Settings, routers=[users.router, notes.router], resources=[pg, schema], title="Notes"
)
