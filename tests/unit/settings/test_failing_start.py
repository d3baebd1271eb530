"""What a failed `load()` changes in the process, and what it leaves alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from sturdyapi.exceptions import SettingsError
from sturdyapi.settings import BaseSettings, report_failing_start

if TYPE_CHECKING:
    from collections.abc import Callable

    SetEnv = Callable[..., None]


def fail() -> SettingsError:
    """Load settings that are wrong."""
    with pytest.raises(SettingsError) as caught:
        BaseSettings.load()
    return caught.value


def test_hook_is_set_on_the_failing_path_only(set_env: SetEnv) -> None:
    """Loading settings leaves `sys.excepthook` alone as long as they are right."""
    BaseSettings.load()
    assert sys.excepthook is sys.__excepthook__
    set_env(PORT="x")
    with pytest.raises(SettingsError):
        BaseSettings()
    assert sys.excepthook is sys.__excepthook__
    fail()
    assert sys.excepthook is not sys.__excepthook__


def test_hook_is_set_once(set_env: SetEnv) -> None:
    """Failing again does not pile up hooks."""
    set_env(PORT="x")
    hooks = []
    for _ in range(3):
        fail()
        hooks.append(sys.excepthook)
    assert hooks[0] is hooks[1] is hooks[2]


def test_hook_prints_the_report_alone_and_ends_with_78(
    set_env: SetEnv, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the end of a process the error prints its report, nothing else, and exits 78."""
    set_env(PORT="x")
    error = fail()
    with pytest.raises(SystemExit) as ended:
        sys.excepthook(type(error), error, error.__traceback__)
    assert ended.value.code == 78
    assert capsys.readouterr() == ("", f"{error}\n")


def test_hook_leaves_other_errors_to_the_one_before(
    set_env: SetEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another error is shown by whatever hook was there before."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *details: seen.append(details))
    set_env(PORT="x")
    fail()
    other = KeyError("x")
    sys.excepthook(KeyError, other, None)
    assert seen == [(KeyError, other, None)]


def test_hook_lives_without_a_stderr(set_env: SetEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a stderr still ends with 78."""
    set_env(PORT="x")
    error = fail()
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit):
        sys.excepthook(type(error), error, None)


def test_report_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Who makes a `SettingsError` elsewhere can have it reported in the same way."""
    error = SettingsError("Shop", [])
    report_failing_start(error)
    with pytest.raises(SystemExit):
        sys.excepthook(SettingsError, error, None)
    assert capsys.readouterr().err == "Shop: 0 problems with the settings\n\n"
