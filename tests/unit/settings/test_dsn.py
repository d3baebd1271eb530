"""`Dsn`: what it takes, what it tells, and that it never prints a password."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from sturdyapi.settings import Dsn


class Model(BaseModel):
    url: Dsn


def test_parts_are_decoded() -> None:
    """The parts of a URL are at hand, decoded."""
    dsn = Dsn("PostgreSQL+asyncpg://us%40er:p%2Fw@db.example:5433/sh%20op?ssl=on")
    assert (dsn.scheme, dsn.user, dsn.host, dsn.port) == (
        "postgresql+asyncpg",
        "us@er",
        "db.example",
        5433,
    )
    assert dsn.database == "sh op"
    assert dsn.password is not None
    assert dsn.password.get_secret_value() == "p/w"


def test_secret_value_is_the_text_as_given() -> None:
    """A driver gets the URL exactly as it was written."""
    url = "PostgreSQL://us%40er:p%2Fw@db:5433/shop"
    assert Dsn(url).get_secret_value() == url


def test_parts_that_are_not_there_are_none() -> None:
    """A URL may have next to no parts."""
    dsn = Dsn("sqlite://")
    assert (dsn.user, dsn.password, dsn.host, dsn.port, dsn.database) == (None,) * 5


def test_several_hosts() -> None:
    """A URL may name several hosts, the first of which is the host."""
    dsn = Dsn("mongodb://u:p@a:27017,b,[::1]:27019,[::2]/shop")
    assert dsn.hosts == (("a", 27017), ("b", None), ("::1", 27019), ("::2", None))
    assert (dsn.host, dsn.port, dsn.database) == ("a", 27017, "shop")


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("embedded:", None),
        ("embedded:./data/pg", "./data/pg"),
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////srv/shop.db", "/srv/shop.db"),
        ("redis+unix:///var/run/redis.sock", "var/run/redis.sock"),
    ],
)
def test_forms_without_a_host(url: str, database: str | None) -> None:
    """A URL may name no host."""
    dsn = Dsn(url)
    assert (dsn.host, dsn.database) == (None, database)


@pytest.mark.parametrize(
    ("url", "printed"),
    [
        ("postgresql://app:s3cret@db/shop", "postgresql://app:***@db/shop"),
        ("postgresql://app@db:5432/shop", "postgresql://app@db:5432/shop"),
        ("redis://:s3cret@cache/0", "redis://:***@cache/0"),
        ("mongodb://app:s3cret@a,b:27018/shop", "mongodb://app:***@a,b:27018/shop"),
        ("postgresql://app:s3@cret@db/shop", "postgresql://app:***@db/shop"),
        ("postgresql://db/shop?user=a&password=s3cret", "postgresql://db/shop?user=a&password=***"),
        ("postgresql:///shop?sslkey=s3cret", "postgresql:///shop?sslkey=***"),
        ("mongodb://a/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret",
         "mongodb://a/?authMechanismProperties=***"),
        ("mssql://h/?odbc_connect=UID%3Da%3BPWD%3Ds3cret", "mssql://h/?odbc_connect=***"),
        # A password that is not encoded reaches further than it seems.
        ("postgresql://app:5/s3cret@db/shop", "postgresql://***"),
        ("postgresql://app:5?s3cret@db/shop", "postgresql://***"),
        ("postgresql://app:5#s3cret@db/shop", "postgresql://***"),
        ("postgresql://app:p@5/s3cret@db/shop", "postgresql://***"),
        ("https://a.example/#s3cret", "https://a.example/#***"),
        ("embedded:s3cret", "embedded:***"),
        ("embedded:", "embedded:"),
    ],
)  # fmt: skip
def test_password_is_never_printed(url: str, printed: str) -> None:
    """Wherever a URL is printed, its password is not."""
    dsn = Dsn(url)
    assert str(dsn) == f"{dsn}" == printed
    assert repr(dsn) == f"Dsn('{printed}')"
    assert printed in repr(Model(url=dsn))
    assert Model(url=dsn).model_dump(mode="json") == {"url": printed}
    assert "s3cret" not in Model(url=dsn).model_dump_json()


def test_dump_keeps_the_object() -> None:
    """A dump in Python mode keeps the `Dsn`, so that a copy of the model still works."""
    dsn = Dsn("postgresql://app:s3cret@db/shop")
    assert Model(url=dsn).model_dump() == {"url": dsn}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "does not start with a scheme"),
        ("db/shop", "does not start with a scheme"),
        ("localhost:5432/s3cret", "does not start with a scheme"),
        ("app:s3cret@db/shop", "does not start with a scheme"),
        ("C:\\s3cret.db", "does not start with a scheme"),
        ("postgresql://db/s3cret shop", "has a space or a control character"),
        ("postgresql://db/s3cret\nshop", "has a space or a control character"),
        ("postgresql://db:s3cret/shop", "has a port that is not a number"),
        ("postgresql://db:65536/s3cret", "has a port that is not a number"),
        ("postgresql://app:s3/cret@db/shop", "has to be percent-encoded"),
    ],
)
def test_text_that_is_no_url_is_refused_without_repeating_it(url: str, problem: str) -> None:
    """What is no URL is refused, and not repeated."""
    with pytest.raises(ValueError, match=problem) as caught:
        Dsn(url)
    assert "s3" not in str(caught.value)
    with pytest.raises(ValidationError, match=problem) as refused:
        Model.model_validate({"url": url})
    assert "s3" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize("value", [None, 5, b"postgresql://db"])
def test_other_types_are_refused(value: object) -> None:
    """Only text is a URL."""
    with pytest.raises(ValidationError, match="is not a URL"):
        Model.model_validate({"url": value})


def test_equality_is_that_of_the_text() -> None:
    """Two URLs are equal if their text is; a URL is never equal to its text."""
    dsn = Dsn("postgresql://app:a@db")
    assert dsn == Dsn("postgresql://app:a@db")
    assert dsn != Dsn("postgresql://app:b@db")
    assert dsn != "postgresql://app:a@db"
    assert {dsn: 1}[Dsn("postgresql://app:a@db")] == 1


def test_copies_keep_the_password() -> None:
    """Pickles and copies are equal to the original."""
    dsn = Dsn("postgresql://app:a@db")
    assert pickle.loads(pickle.dumps(dsn)) == copy.copy(dsn) == copy.deepcopy(dsn) == dsn


def test_schema_is_that_of_a_written_url() -> None:
    """In a JSON schema it is a URL that is written, not read."""
    assert TypeAdapter(Dsn).json_schema() == {"type": "string", "format": "uri", "writeOnly": True}


def test_subclass_stays_a_subclass() -> None:
    """A field of a subclass holds the subclass."""

    class ShopDsn(Dsn):
        pass

    made = TypeAdapter(ShopDsn).validate_python("postgresql://db")
    assert type(made) is ShopDsn
    assert repr(made) == "ShopDsn('postgresql://db')"
