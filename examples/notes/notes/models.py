"""What is sent and received: createdAt on the wire, created_at here."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from sturdyapi import BaseModel

# PostgreSQL keeps every character in a text but this one.
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Title = Annotated[Text, Field(min_length=1, max_length=80)]
Body = Annotated[Text, Field(max_length=10_000)]
Price = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]
Id = Annotated[int, Field(ge=1, lt=2**63)]


class NewUser(BaseModel):
    """Someone who wants to keep notes."""

    name: Title


class User(NewUser):
    """Someone who keeps notes."""

    id: int


class UserWithToken(User):
    """A user who has just been made; nobody can read the token again."""

    token: str


class NewNote(BaseModel):
    """A note as a client sends it."""

    title: Title
    body: Body = ""
    price: Price | None = None


class NoteChanges(BaseModel):
    """What is to be different in a note; what is left out or null stays as it is."""

    title: Title | None = None
    body: Body | None = None
    price: Price | None = None


class Note(NewNote):
    """A note as it is kept."""

    id: int
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    """Some notes, and where the next ones begin."""

    items: list[Note]
    next: Annotated[int | None, Field(description="Give it as `after`; null at the end.")]
