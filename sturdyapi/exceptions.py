"""Every error and warning of SturdyAPI.

A fault of the programmer is raised while the app is built; a fault of a client becomes an HTTP
error at request time. The two share no base class with a status code.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ConfigurationError",
    "FieldCollisionError",
    "MissingExtraError",
    "ReservedVariableError",
    "SettingProblem",
    "SettingsError",
    "SturdyDeprecationWarning",
    "SturdyError",
    "SturdyWarning",
    "UnavailableError",
    "WireValueError",
]

EX_CONFIG = 78
"""Exit code of a process that ends with a `SettingsError` (`EX_CONFIG` of sysexits.h)."""


class SturdyError(Exception):
    """Base of every error that SturdyAPI raises.

    Can be copied and pickled with its facts, so that one raised in another process arrives whole.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, vars(self))


def _restore(cls: type[SturdyError], args: tuple[Any, ...], facts: dict[str, Any]) -> SturdyError:
    # Not by `__init__`: it takes facts that are no `args`.
    error = cls.__new__(cls, *args)
    vars(error).update(facts)
    return error


class SturdyWarning(UserWarning):
    """Something that works, but not the way its author will have meant."""


class SturdyDeprecationWarning(SturdyWarning, DeprecationWarning):
    """A form that will be removed; the text says what to write instead."""


class ConfigurationError(SturdyError, ValueError):
    """`create_app()` was given a keyword or a combination that it refuses."""


class MissingExtraError(SturdyError, ImportError):
    """A feature needs a package that an extra of SturdyAPI installs.

    Attributes:
        feature: What was asked for, such as `ObjectId`.
        extra: Name of the extra, such as `mongo`.
    """

    def __init__(self, feature: str, extra: str, *, package: str) -> None:
        super().__init__(name=package)
        self.feature = feature
        self.extra = extra
        self.package = package

    def __str__(self) -> str:
        return (
            f"{self.feature} needs the package '{self.package}', which is not installed. "
            f"Install it with: pip install 'sturdyapi[{self.extra}]'"
        )


class FieldCollisionError(SturdyError, TypeError):
    """Two fields of one model would have the same name on the wire."""

    def __init__(self, model: str, alias: str, fields: Iterable[str]) -> None:
        self.model = model
        self.alias = alias
        self.fields = tuple(fields)
        super().__init__(model, alias, self.fields)

    def __str__(self) -> str:
        names = " and ".join(f"'{name}'" for name in self.fields)
        return (
            f"Fields {names} of {self.model} are both '{self.alias}' on the wire. "
            f"Rename one of them, or give it its own Field(alias=...)."
        )


class WireValueError(SturdyError, ValueError):
    """A value that JSON has no form for, such as a Decimal beyond a double's range."""


class UnavailableError(SturdyError):
    """What the request needs is out of reach for now; answered as 503 with `Retry-After`.

    Attributes:
        what: What is missing, in words that a client may see, such as `database`.
        retry_after_seconds: When trying again makes sense.
    """

    def __init__(self, what: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.what} is not available right now. Try again in {self.retry_after_seconds} s."


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One thing that is wrong with one variable; never holds its value."""

    variable: str
    """Name of the environment variable as the user sets it, such as `DATABASE_URL`."""
    problem: str
    """What is wrong, such as `is missing`."""
    expected: str
    """What would be right, such as `a whole number from 1 to 65535`."""

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}; expected {self.expected}"


class ReservedVariableError(SturdyError, TypeError):
    """A field of a settings class would be filled by a variable that every shell sets."""

    def __init__(self, settings_class: str, field: str, variable: str) -> None:
        super().__init__(settings_class, field, variable)
        self.settings_class = settings_class
        self.field = field
        self.variable = variable

    def __str__(self) -> str:
        return (
            f"Field '{self.field}' of {self.settings_class} would be filled by {self.variable}, "
            f"which the shell or the system sets for its own use. Rename the field, or give the "
            f"class a prefix: model_config = SettingsConfigDict(env_prefix='APP_')."
        )


class SettingsError(SturdyError, ValueError):
    """The settings can't be loaded; lists every problem at once and no value.

    Attributes:
        settings_class: Name of the settings class.
        problems: Everything that is wrong, in the order of the fields.
        skipped_checks: Checks that could not run while fields were wrong.
    """

    def __init__(
        self,
        settings_class: str,
        problems: Iterable[SettingProblem],
        *,
        skipped_checks: Iterable[str] = (),
    ) -> None:
        self.settings_class = settings_class
        self.problems = tuple(problems)
        self.skipped_checks = tuple(skipped_checks)
        super().__init__(settings_class, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        things = "1 problem" if count == 1 else f"{count} problems"
        lines = [f"{self.settings_class}: {things} with the settings", ""]
        lines += [f"  {problem}" for problem in self.problems]
        if self.skipped_checks:
            lines += [
                "",
                "  Not checked until the above is right: " + ", ".join(self.skipped_checks),
            ]
        return "\n".join(lines)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for a near miss of a known name, else an empty string."""
    names = list(known)
    # `prod` is too far from `production` for difflib.
    longer = [each for each in names if name and each.startswith(name)]
    near = longer if len(longer) == 1 else get_close_matches(name, names, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
