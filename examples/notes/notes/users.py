"""Users and their tokens."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sturdyapi import bind

from .database import Db, pg
from .models import NewUser, User, UserWithToken

router = APIRouter(prefix="/users", tags=["users"])
bearer = HTTPBearer(auto_error=False)


def hashed(token: str) -> bytes:
    """Return what is kept of a token: who reads the table can't call the service."""
    return hashlib.sha256(token.encode()).digest()


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)], db: Db
) -> User:
    """Return the user whose token the request carries, else answer 401."""
    user = None
    if credentials is not None:
        user = await pg.fetch_model(
            db,
            User,
            "select id, name from users where token_hash = $1",
            hashed(credentials.credentials),
        )
    if user is None:
        raise HTTPException(401, "Send a token.", headers={"WWW-Authenticate": "Bearer"})
    bind(user_id=user.id)
    return user


CurrentUser = Annotated[User, Depends(current_user)]


@router.post("", status_code=201)
async def create_user(new: NewUser, db: Db) -> UserWithToken:
    """Make a user, and a token that is shown this once."""
    token = secrets.token_urlsafe(24)
    user_id = await db.fetchval(
        "insert into users (name, token_hash) values ($1, $2) returning id", new.name, hashed(token)
    )
    return UserWithToken(id=user_id, name=new.name, token=token)
