"""Notes, each of which only its owner can see."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from sturdyapi import found, owned

from .database import Db, pg
from .models import Id, NewNote, Note, NoteChanges, Page
from .users import CurrentUser, current_user

router = APIRouter(prefix="/notes", tags=["notes"])


class OwnedNote(Note):
    """A note with its owner, who is not sent."""

    owner_id: int


async def find_note(note_id: Id, db: Db) -> OwnedNote | None:
    """Return any note there is; whose it is, `owned()` looks at."""
    return await pg.fetch_model(db, OwnedNote, "select * from notes where id = $1", note_id)


MyNote = Annotated[OwnedNote, owned(find_note, by=current_user)]


@router.post("", status_code=201)
async def create_note(new: NewNote, user: CurrentUser, db: Db) -> Note:
    """Keep a note."""
    return found(
        await pg.fetch_model(
            db,
            Note,
            "insert into notes (owner_id, title, body, price) values ($1, $2, $3, $4) returning *",
            user.id,
            new.title,
            new.body,
            new.price,
        )
    )


@router.get("")
async def list_notes(
    user: CurrentUser,
    db: Db,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[Id | None, Query(description="`next` of the page before.")] = None,
) -> Page:
    """List one's own notes, the oldest first."""
    notes = await pg.fetch_models(
        db,
        Note,
        "select * from notes where owner_id = $1 and id > $2 order by id limit $3",
        user.id,
        after or 0,
        limit + 1,
    )
    is_last = len(notes) <= limit
    return Page(items=notes[:limit], next=None if is_last else notes[limit - 1].id)


@router.get("/{note_id}")
async def read_note(note: MyNote) -> Note:
    """Read a note; a stranger's is as good as none."""
    return note


@router.patch("/{note_id}")
async def change_note(note_id: Id, changes: NoteChanges, user: CurrentUser, db: Db) -> Note:
    """Change a note; the owner stands in the statement, so that nothing can come in between."""
    return found(
        await pg.fetch_model(
            db,
            Note,
            """
            update notes set
                title = coalesce($3, title),
                body = coalesce($4, body),
                price = coalesce($5, price),
                updated_at = now()
            where id = $1 and owner_id = $2
            returning *
            """,
            note_id,
            user.id,
            changes.title,
            changes.body,
            changes.price,
        )
    )


@router.delete("/{note_id}", status_code=204)
async def delete_note(note_id: Id, user: CurrentUser, db: Db) -> None:
    """Delete a note."""
    found(
        await db.fetchval(
            "delete from notes where id = $1 and owner_id = $2 returning id", note_id, user.id
        )
    )
