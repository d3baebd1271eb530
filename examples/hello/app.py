"""A notebook in memory: create, list and read notes over HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException
from pydantic import Field
from starlette.requests import HTTPConnection

from sturdyapi import BaseModel, BaseSettings, create_app, settings_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI


class Settings(BaseSettings):
    """What the service reads from its environment."""

    max_notes: Annotated[int, Field(ge=1, description="Notes that are kept at the most")] = 100


class NewNote(BaseModel):
    """A note as a client sends it."""

    title: Annotated[str, Field(min_length=1, max_length=80)]
    body: str = ""


class Note(NewNote):
    """A note as it is kept."""

    id: int
    created_at: datetime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the notes as long as the process lives."""
    app.state.notes = {}
    yield


def all_notes(connection: HTTPConnection) -> dict[int, Note]:
    """Return the notes by id."""
    notes: dict[int, Note] = connection.app.state.notes
    return notes


Notes = Annotated[dict[int, Note], Depends(all_notes)]
Config = Annotated[Settings, Depends(settings_of(Settings))]
router = APIRouter(prefix="/notes", tags=["notes"])


@router.post("", status_code=201)
async def create_note(new: NewNote, notes: Notes, config: Config) -> Note:
    """Keep a note."""
    if len(notes) >= config.max_notes:
        raise HTTPException(409, f"There is room for {config.max_notes} notes.")
    note = Note(id=len(notes) + 1, created_at=datetime.now(UTC), **new.model_dump())
    notes[note.id] = note
    return note


@router.get("")
async def list_notes(notes: Notes) -> list[Note]:
    """List the notes in the order they were made."""
    return list(notes.values())


@router.get("/{note_id}")
async def read_note(note_id: int, notes: Notes) -> Note:
    """Read one note."""
    if note_id not in notes:
        raise HTTPException(404, f"There is no note {note_id}.")
    return notes[note_id]


app = create_app(Settings, routers=[router], lifespan=lifespan, title="Hello, notes")
