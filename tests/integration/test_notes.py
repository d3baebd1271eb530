"""The notes service, on a real database."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.log.setup import unconfigure
from sturdyapi.testing import client
from tests.servers.postgres import fetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sturdyapi.testing import ServiceClient

EXAMPLE = Path(__file__).parents[2] / "examples/notes"
NOT_MINE = ("GET", None), ("PATCH", {"title": "Taken"}), ("DELETE", None)


@pytest.fixture
def service(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceClient]:
    """Give the service on an empty database."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.chdir(EXAMPLE)
    with client("notes.main:app", settings={"database_url": postgres_url}) as started:
        yield started
    # Making the app has set up the logs of the process.
    unconfigure()
    for name in [name for name in sys.modules if name.partition(".")[0] == "notes"]:
        del sys.modules[name]


@pytest.fixture
def ada(service: ServiceClient) -> dict[str, str]:
    """Give the headers of a user."""
    return headers_of(service, "Ada")


@pytest.fixture
def bob(service: ServiceClient) -> dict[str, str]:
    """Give the headers of another user."""
    return headers_of(service, "Bob")


def headers_of(service: ServiceClient, name: str) -> dict[str, str]:
    """Make a user, and return the headers that carry the token."""
    token = service.post("/users", json={"name": name}).json()["token"]
    return {"Authorization": f"Bearer {token}"}


def new_note(service: ServiceClient, headers: dict[str, str], **note: Any) -> Any:
    """Keep a note, and return it."""
    answer = service.post("/notes", headers=headers, json={"title": "Buy tea", **note})
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.parametrize(("method", "body"), NOT_MINE)
def test_a_strangers_note_is_as_good_as_none(
    service: ServiceClient, ada: dict[str, str], bob: dict[str, str], method: str, body: Any
) -> None:
    """Whatever is done to a stranger's note, the answer is that of a note that does not exist."""
    note = new_note(service, ada)
    answers = [
        service.request(method, f"/notes/{id_}", headers=bob, json=body).json()
        for id_ in (note["id"], note["id"] + 1000)
    ]
    for answer in answers:
        del answer["requestId"]
    assert answers[0] == answers[1]
    assert answers[0]["status"] == 404
    assert service.get(f"/notes/{note['id']}", headers=ada).json() == note


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "/notes"), ("GET", "/notes/1")])
def test_nobody_in_particular_gets_nothing(
    service: ServiceClient, headers: dict[str, str], method: str, path: str
) -> None:
    """Without a token that is known, the answer is 401."""
    answer = service.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_pages_hold_every_note_of_ones_own_once(
    service: ServiceClient, ada: dict[str, str], bob: dict[str, str]
) -> None:
    """Page after page gives one's own notes, the oldest first, each once."""
    mine = []
    for number in range(5):
        mine.append(new_note(service, ada, title=f"Note {number}"))
        new_note(service, bob)
    listed: list[Any] = []
    after = None
    for size in (2, 2, 1):
        params = {"limit": 2, **({} if after is None else {"after": after})}
        page = service.get("/notes", headers=ada, params=params).json()
        assert len(page["items"]) == size
        listed += page["items"]
        after = page["next"]
    assert after is None
    assert listed == mine


def test_a_change_leaves_what_it_does_not_name(service: ServiceClient, ada: dict[str, str]) -> None:
    """A change alters what it names, and the time of the last change."""
    note = new_note(service, ada, body="Green", price=4.5)
    changed = service.patch(f"/notes/{note['id']}", headers=ada, json={"price": 3.8}).json()
    assert changed.pop("updatedAt") > note.pop("updatedAt")
    assert changed == {**note, "price": 3.8}


def test_changes_at_the_same_time_are_all_kept(service: ServiceClient, ada: dict[str, str]) -> None:
    """Two that change different fields of one note at once do not undo each other."""
    note = new_note(service, ada)
    for number in range(3):
        changes = [{"title": f"Title {number}"}, {"body": f"Body {number}"}, {"price": number}]
        with ThreadPoolExecutor(len(changes)) as pool:
            answers = pool.map(
                lambda change: service.patch(f"/notes/{note['id']}", headers=ada, json=change),
                changes,
            )
            assert {answer.status_code for answer in answers} == {200}
        kept = service.get(f"/notes/{note['id']}", headers=ada).json()
        assert (kept["title"], kept["body"], kept["price"]) == (
            f"Title {number}",
            f"Body {number}",
            number,
        )


def test_a_deleted_note_is_gone(service: ServiceClient, ada: dict[str, str]) -> None:
    """A note is deleted once; after that there is none."""
    note = new_note(service, ada)
    path = f"/notes/{note['id']}"
    assert service.delete(path, headers=ada).status_code == 204
    assert service.delete(path, headers=ada).status_code == 404
    assert service.get(path, headers=ada).status_code == 404


@pytest.mark.parametrize(
    "note",
    [
        {"title": "a\u0000b"},
        {"title": ""},
        {"title": "x" * 81},
        {"title": "Tea", "price": "NaN"},
        {"title": "Tea", "price": 1.005},
        {"title": "Tea", "price": 10**9},
        {"title": None},
    ],
)
def test_what_the_database_would_refuse_is_a_422(
    service: ServiceClient, ada: dict[str, str], note: dict[str, Any]
) -> None:
    """What can't be kept is refused before the database has to."""
    assert service.post("/notes", headers=ada, json=note).status_code == 422


@pytest.mark.parametrize("note_id", ["0", "-1", str(2**63), "one"])
def test_an_id_that_none_can_have_is_a_422(
    service: ServiceClient, ada: dict[str, str], note_id: str
) -> None:
    """An id is a number from 1 to what a `bigint` holds."""
    assert service.get(f"/notes/{note_id}", headers=ada).status_code == 422


def test_a_price_keeps_its_cents(service: ServiceClient, ada: dict[str, str]) -> None:
    """A price comes back as it was sent."""
    note = new_note(service, ada, price=99999999.99)
    assert service.get(f"/notes/{note['id']}", headers=ada).json()["price"] == 99999999.99


def test_the_token_is_nowhere_in_the_database(ada: dict[str, str], postgres_url: str) -> None:
    """Who reads the table of users can't call the service."""
    token = ada["Authorization"].removeprefix("Bearer ")
    kept = asyncio.run(fetch(postgres_url, "select * from users"))
    assert len(kept) == 1
    assert token not in str(kept)


def test_openapi_tells_of_401_and_404(service: ServiceClient) -> None:
    """The documentation lists the answers of an owned note."""
    app: Any = service.app
    responses = app.openapi()["paths"]["/notes/{note_id}"]["get"]["responses"]
    assert {"200", "401", "404", "422"} <= responses.keys()
