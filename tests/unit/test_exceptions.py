"""Errors say what happened, with which value, and what to do next."""

import inspect
import pickle

import pytest

from sturdyapi import exceptions
from sturdyapi.exceptions import (
    ConfigurationError,
    FieldCollisionError,
    MissingExtraError,
    ReservedVariableError,
    SettingProblem,
    SettingsError,
    SturdyDeprecationWarning,
    SturdyError,
    SturdyWarning,
    UnavailableError,
    WireValueError,
    did_you_mean,
)

PROBLEM = SettingProblem("PORT", "is not a number", "a whole number from 1 to 65535")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ConfigurationError, ValueError),
        (FieldCollisionError, TypeError),
        (MissingExtraError, ImportError),
        (ReservedVariableError, TypeError),
        (SettingsError, ValueError),
        (WireValueError, ValueError),
    ],
)
def test_errors_are_also_what_a_careful_caller_catches(
    error: type[Exception], builtin: type[Exception]
) -> None:
    """Each error is a `SturdyError`, and the builtin that fits."""
    assert issubclass(error, SturdyError)
    assert issubclass(error, builtin)


def test_every_error_is_public() -> None:
    """Every class of the module is in `__all__`, errors end in `Error`, and all have one root."""
    classes = {
        name: value
        for name, value in inspect.getmembers(exceptions, inspect.isclass)
        if value.__module__ == exceptions.__name__
    }

    assert set(classes) == set(exceptions.__all__)
    assert exceptions.__all__ == sorted(exceptions.__all__)
    for name, value in classes.items():
        if issubclass(value, Warning):
            assert name.endswith("Warning")
            assert issubclass(value, SturdyWarning)
        elif issubclass(value, Exception):
            assert name.endswith("Error")
            assert issubclass(value, SturdyError)


def test_no_error_has_a_status_code() -> None:
    """Faults of the programmer and HTTP errors share no base class."""
    for value in vars(exceptions).values():
        if inspect.isclass(value):
            assert not hasattr(value, "status_code")


def test_missing_extra_names_the_command() -> None:
    """A missing package is named, together with the command that installs it."""
    error = MissingExtraError("ObjectId", "mongo", package="pymongo")

    assert str(error) == (
        "ObjectId needs the package 'pymongo', which is not installed. "
        "Install it with: pip install 'sturdyapi[mongo]'"
    )
    assert (error.feature, error.extra, error.package) == ("ObjectId", "mongo", "pymongo")
    assert error.name == "pymongo"


def test_field_collision_names_the_fields() -> None:
    """Two fields with one name on the wire are both named."""
    error = FieldCollisionError("User", "userId", iter(["user_id", "userId"]))

    assert str(error) == (
        "Fields 'user_id' and 'userId' of User are both 'userId' on the wire. "
        "Rename one of them, or give it its own Field(alias=...)."
    )
    assert error.fields == ("user_id", "userId")


def test_reserved_variable_names_the_way_out() -> None:
    """A field that every shell would fill is named, together with what to write instead."""
    assert str(ReservedVariableError("Settings", "path", "PATH")) == (
        "Field 'path' of Settings would be filled by PATH, which the shell or the system sets for "
        "its own use. Rename the field, or give the class a prefix: "
        "model_config = SettingsConfigDict(env_prefix='APP_')."
    )


def test_unavailable_says_when_to_try_again() -> None:
    """What is out of reach is named in words that a client may see."""
    error = UnavailableError("database", retry_after_seconds=5)

    assert str(error) == "database is not available right now. Try again in 5 s."
    assert UnavailableError("cache").retry_after_seconds == 1


def test_settings_error_lists_every_problem() -> None:
    """Settings that are wrong are all listed, with what is expected of each."""
    error = SettingsError(
        "Settings", iter([PROBLEM, SettingProblem("KEY", "is missing", "a text")])
    )

    assert str(error).splitlines() == [
        "Settings: 2 problems with the settings",
        "",
        "  PORT: is not a number; expected a whole number from 1 to 65535",
        "  KEY: is missing; expected a text",
    ]
    assert [problem.variable for problem in error.problems] == ["PORT", "KEY"]


def test_settings_error_tells_what_was_not_checked() -> None:
    """Checks that could not run are named after the problems."""
    error = SettingsError("Settings", [PROBLEM], skipped_checks=iter(["urls_agree", "secrets"]))

    assert str(error).splitlines() == [
        "Settings: 1 problem with the settings",
        "",
        "  PORT: is not a number; expected a whole number from 1 to 65535",
        "",
        "  Not checked until the above is right: urls_agree, secrets",
    ]
    assert error.skipped_checks == ("urls_agree", "secrets")


def test_deprecation_is_shown_by_default() -> None:
    """A deprecation of ours is a `DeprecationWarning` and a `UserWarning`, which Python shows."""
    assert issubclass(SturdyDeprecationWarning, DeprecationWarning)
    assert issubclass(SturdyDeprecationWarning, UserWarning)


@pytest.mark.parametrize(
    "error",
    [
        FieldCollisionError("User", "userId", ["user_id", "userId"]),
        MissingExtraError("ObjectId", "mongo", package="pymongo"),
        ReservedVariableError("Settings", "path", "PATH"),
        SettingsError("Settings", [PROBLEM], skipped_checks=["secrets"]),
        UnavailableError("database", retry_after_seconds=5),
        WireValueError("too large"),
    ],
)
def test_errors_survive_another_process(error: SturdyError) -> None:
    """An error that is raised in a worker process arrives with its facts."""
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cahce", " Did you mean 'cache'?"), ("cache", " Did you mean 'cache'?"), ("queue", "")],
)
def test_near_miss_gets_a_hint(name: str, hint: str) -> None:
    """A near miss of a known name is answered with that name, anything else with nothing."""
    assert did_you_mean(name, iter(["cache", "db"])) == hint
