"""Known secrets never appear in a line, however they are written."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest

from sturdyapi.log.redaction import Redactor

SECRET = 'p4ss/w"ord\\with é+&'
KEY_FILE = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nQUFBQUFBQUFBQUFB\n"


def _redactor(*secrets: str) -> Redactor:
    made = Redactor()
    made.add(secrets)
    return made


def _line(**members: object) -> str:
    return json.dumps({"time": "t", **members}) + "\n"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        repr(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
    ],
)
def test_secret_is_found_in_any_form(written: str) -> None:
    """A secret is masked in plain text, in a `repr`, in JSON and in a URL."""
    redactor = _redactor(SECRET)

    line = redactor.json(_line(message=f"before {written} after"))

    assert json.loads(line)["message"].replace('"', "").replace("'", "") == "before *** after"
    assert redactor.text(written).strip("'\"") == "***"


def test_line_stays_json_with_its_newline() -> None:
    """A line with a masked secret is a line of JSON like any other."""
    line = _redactor("12345678", 'a": "b", "c').json(
        _line(number=12345678, ratio=0.12345678, text='a": "b", "c', other=1, a="b", c="d")
    )

    assert line.endswith("}\n")
    assert json.loads(line) == {
        "time": "t",
        "number": "***",
        "ratio": "***",
        "text": "***",
        "other": 1,
        "a": "b",
        "c": "d",
    }


def test_secret_is_found_at_any_depth() -> None:
    """A secret is masked inside nested values, names of members included."""
    line = _redactor("hunter2-hunter2").json(
        _line(a=[{"b": ["x hunter2-hunter2"], "hunter2-hunter2": 1, "***": 2}])
    )

    assert json.loads(line)["a"] == [{"b": ["x ***"], "***": 1, "***_": 2}]


def test_own_members_keep_their_names() -> None:
    """A secret that happens to be the name of a member does not rename it."""
    line = _redactor("password").json(_line(password="password"))

    assert json.loads(line) == {"time": "t", "password": "***"}


def test_key_file_is_found_line_by_line() -> None:
    """A secret of several lines is masked even where its lines are set apart."""
    text = "\n".join(f"    | {line}" for line in KEY_FILE.splitlines())

    assert "MII" not in _redactor(KEY_FILE).text(text)
    assert "QUF" not in _redactor(KEY_FILE).text(text)


def test_quoted_secret_is_found_unquoted() -> None:
    """A password taken from a URL is masked in its decoded form, too."""
    assert _redactor("p4ss%2Fw0rd%21").text("p4ss/w0rd!") == "***"


def test_short_secret_is_left() -> None:
    """A secret under eight characters is not looked for: it would be found inside words."""
    redactor = _redactor("admin", "", "1234567")

    assert redactor.text("administration 1234567") == "administration 1234567"
    assert redactor.json(_line(message="admin")) == _line(message="admin")


def test_longest_secret_wins() -> None:
    """Where one secret begins another, the longer one is masked whole."""
    assert _redactor("secret-one", "secret-one-two").text("secret-one-two") == "***"


def test_secrets_can_be_added() -> None:
    """Secrets that are added later join the first ones."""
    redactor = _redactor("first-secret")
    redactor.add(["second-secret"])

    assert redactor.text("first-secret second-secret") == "*** ***"
    assert "secret" not in redactor.json(_line(message="first-secret second-secret"))


def test_line_without_secrets_is_not_touched() -> None:
    """A line without a secret is the very same line."""
    line = _line(message="nothing here")

    assert _redactor("hunter2-hunter2").json(line) is line
    assert Redactor().json(line) is line


def test_secret_with_lone_surrogate() -> None:
    """A secret that no encoding has is no reason to fail."""
    assert _redactor("bad\ud800-secret").text("a bad\ud800-secret") == "a ***"
