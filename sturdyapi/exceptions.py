"""Every error and warning of SturdyAPI.

A fault of the programmer is raised while the app is built; a fault of a client becomes an HTTP
error at request time. The two share no base class with a status code.
"""

from __future__ import annotations

import errno
import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AddressError",
    "AppLoadError",
    "AppNotFoundError",
    "CheckTypeError",
    "CommandError",
    "ConfigurationError",
    "ConnectionBudgetError",
    "DeadlineExceededError",
    "FieldCollisionError",
    "MissingExtraError",
    "NotCommittedError",
    "OutageError",
    "OwnerLookupError",
    "OwnerTypeError",
    "ReleasedConnectionError",
    "ReservedVariableError",
    "ResourceNotOpenError",
    "ResourceStartError",
    "ResourceTimeoutError",
    "SettingProblem",
    "SettingsError",
    "SturdyDeprecationWarning",
    "SturdyError",
    "SturdyWarning",
    "SupervisedTaskError",
    "UnavailableError",
    "UnknownServerError",
    "WireValueError",
    "WorkerCountError",
]

EX_CONFIG = 78
"""Exit code of a process that ends with a `SettingsError` (`EX_CONFIG` of sysexits.h)."""
EX_START = 3
"""Exit code of a server whose app can't start, as Uvicorn and Gunicorn have it."""
EX_SIGNALLED = 128
"""Added to the number of a signal, the exit code of a process that it cut short."""


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


class CommandError(SturdyError):
    """A command can't do what it was asked for.

    Attributes:
        exit_code: What the process ends with: 2 for a wrong command line.
    """

    exit_code: ClassVar[int] = 2


class UnknownServerError(CommandError, LookupError):
    """`sturdyapi run` was asked for a server that it does not know."""

    def __init__(self, name: str, *, known: Iterable[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        return (
            f"No server '{self.name}'. Known: {', '.join(self.known)}."
            f"{did_you_mean(self.name, self.known)}"
        )


class AddressError(CommandError, OSError):
    """Nothing can listen on an address.

    Attributes:
        address: Host and port.
    """

    exit_code = EX_START

    def __init__(self, address: str, cause: OSError) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.address = address

    def __str__(self) -> str:
        if self.errno == errno.EADDRINUSE:
            return (
                f"{self.address} is in use by another process. Stop it, or take another port: "
                "sturdyapi run --port 8001, or the setting PORT."
            )
        return (
            f"Nothing can listen on {self.address}: {self.strerror}. Give an address of this "
            "machine and a free port: --host and --port, or the settings BIND_HOST and PORT."
        )


class AppNotFoundError(CommandError, LookupError):
    """A command was given the name of an app that is not there."""


class AppLoadError(CommandError, ImportError):
    """The module of an app is there, and its import fails.

    Attributes:
        module: As it is imported.
        problem: What went wrong, and in which line.
        folder: Where it is imported from; `None` for the working directory.
    """

    exit_code = EX_START

    def __init__(self, module: str, problem: str, *, folder: str | None = None) -> None:
        super().__init__(name=module)
        self.module = module
        self.problem = problem
        self.folder = folder

    def __str__(self) -> str:
        from_folder = f"cd {shlex.quote(self.folder)} && " if self.folder else ""
        return (
            f"{self.module} can't be imported: {self.problem}\n"
            f"The whole traceback: {from_folder}python -c 'import {self.module}'"
        )


class WorkerCountError(CommandError, ValueError):
    """A server was to have a number of workers that makes no sense.

    Attributes:
        count: As it was asked for.
        highest: That is taken.
        limit: CPUs, and what limits them.
    """

    def __init__(self, count: int, *, highest: int, limit: str) -> None:
        super().__init__(count)
        self.count = count
        self.highest = highest
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.count} workers can't be started with {self.limit}. "
            f"Take 1 to {self.highest}, or 'auto' for one per CPU."
        )


class ConnectionBudgetError(CommandError, ValueError):
    """The pool of a single worker is larger than what all workers may open together.

    Attributes:
        name: Of the adapter.
        max_connections: That one worker may open.
        budget: For all workers.
    """

    exit_code = EX_CONFIG

    def __init__(self, name: str, *, max_connections: int, budget: int) -> None:
        super().__init__(name)
        self.name = name
        self.max_connections = max_connections
        self.budget = budget

    def __str__(self) -> str:
        return (
            f"A single worker may open {self.max_connections} connections of '{self.name}', and "
            f"connection_budget is {self.budget}. Give '{self.name}' max_size={self.budget} or "
            "less, or raise the budget."
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


class OutageError(SturdyError):
    """What the request needs does not answer; the client is told so, and may try again.

    Attributes:
        what: What is missing, in words that a client may see, such as `database`.
        status: Status of the answer.
    """

    status: ClassVar[int]

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class UnavailableError(OutageError):
    """What the request needs is out of reach for now; answered as 503 with `Retry-After`.

    Attributes:
        retry_after_seconds: When trying again makes sense.
    """

    status = 503

    def __init__(self, what: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(what)
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.what} is not available right now. Try again in {self.retry_after_seconds} s."


class DeadlineExceededError(OutageError, TimeoutError):
    """What the request needs took longer than its time limit; answered as 504.

    Attributes:
        timeout_seconds: The limit.
    """

    status = 504

    def __init__(self, what: str, *, timeout_seconds: float) -> None:
        super().__init__(what)
        self.timeout_seconds = timeout_seconds

    def __str__(self) -> str:
        return f"{self.what} did not answer within {self.timeout_seconds:g} s."


class ReleasedConnectionError(SturdyError, RuntimeError):
    """A connection was used after it had been given back to its pool; answered as 500.

    Attributes:
        name: Of the resource.
        source: What had given it, such as `connection`.
    """

    def __init__(self, name: str, *, source: str) -> None:
        super().__init__(name)
        self.name = name
        self.source = source

    def __str__(self) -> str:
        return (
            f"A connection of resource '{self.name}' was used after its end: the one that "
            f"`.{self.source}` gave has been given back to the pool. A body that is sent in pieces "
            "takes `.streaming`. A background task, or a task of its own, takes one when it needs "
            "it: `async with pool.acquire() as connection`, with the pool from `.value`."
        )


class NotCommittedError(SturdyError, RuntimeError):
    """A transaction was to be committed, and the server rolled it back; answered as 500."""

    def __str__(self) -> str:
        return (
            "Nothing of the transaction was committed: one of its statements had failed, and the "
            "error was caught inside of it. Let the error leave the transaction, or give the "
            "statement that may fail a savepoint: `async with connection.transaction()` inside "
            "the `try`."
        )


class ResourceNotOpenError(SturdyError, LookupError):
    """A resource was asked for that is not open in this app.

    Attributes:
        name: Of the resource.
        known: Names of all resources of the app.
        is_running: Whether the app's lifespan runs at all.
    """

    def __init__(self, name: str, *, known: Iterable[str], is_running: bool) -> None:
        super().__init__(name)
        self.name = name
        self.known = tuple(known)
        self.is_running = is_running

    def __str__(self) -> str:
        if self.name not in self.known:
            known = ", ".join(sorted(self.known)) or "none"
            return (
                f"Resource '{self.name}' is not one of this app's. It has: {known}. "
                f"List it: create_app(resources=[...])."
            )
        if self.is_running:
            return f"Resource '{self.name}' is not open: it is still to be opened, or closed again."
        return (
            f"Resource '{self.name}' is not open: the app's lifespan is not running. In a test use "
            "`with TestClient(app)` or sturdyapi.testing.client(app); a bare ASGITransport runs "
            "none, and a plain FastAPI app runs none of the apps mounted in it."
        )


class ResourceStartError(SturdyError):
    """A resource can't be opened, for a reason that its user can mend; ends the start.

    Attributes:
        name: Of the resource.
        problem: What happened, without secrets.
        advice: What to do next.
    """

    def __init__(self, name: str, problem: str, *, advice: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"Resource '{self.name}' can't be opened: {self.problem}. {self.advice}"


class ResourceTimeoutError(ResourceStartError, TimeoutError):
    """A resource was not open within its time limit; what it had begun is undone.

    Attributes:
        timeout_seconds: The limit.
    """

    def __init__(self, name: str, *, timeout_seconds: float, problem: str | None = None) -> None:
        super().__init__(
            name,
            problem or f"it took longer than {timeout_seconds:g} s",
            advice="See why it is slow, or give it more: timeout_seconds=.",
        )
        self.timeout_seconds = timeout_seconds


class SupervisedTaskError(SturdyError):
    """A resource, or a task that it supervises, has ended while the app runs; readiness is red.

    Attributes:
        name: Of the resource.
        task: Name of the task; `None` if it is the resource's own.
    """

    def __init__(self, name: str, *, task: str | None) -> None:
        super().__init__(name)
        self.name = name
        self.task = task

    def __str__(self) -> str:
        what = "It" if self.task is None else f"Its task '{self.task}'"
        return (
            f"Resource '{self.name}' does not work any more. {what} has ended while the app runs; "
            "readiness is red until a restart."
        )


class OwnerLookupError(SturdyError, LookupError):
    """An `owned()` names an attribute or a key that is not there; answered as 500.

    Attributes:
        argument: `owner`, looked for on what was found, or `key`, looked for on the user.
        name: What was looked for.
        type_name: Type of what it was looked for on.
        known: Names that are there.
    """

    def __init__(self, argument: str, name: str, *, type_name: str, known: Iterable[str]) -> None:
        super().__init__(argument, name, type_name)
        self.argument = argument
        self.name = name
        self.type_name = type_name
        self.known = tuple(known)

    def __str__(self) -> str:
        known = ", ".join(self.known) or "nothing that has a name"
        return (
            f"owned(..., {self.argument}='{self.name}') looked for '{self.name}' on a "
            f"{self.type_name}, which has: {known}.{did_you_mean(self.name, self.known)} "
            f"Name one of these, or give a function: {self.argument}=lambda each: ..."
        )


class OwnerTypeError(SturdyError, TypeError):
    """The owner and the user's key are of types that are never equal as ids; answered as 500.

    Attributes:
        found: Name of the function that found the object.
        owner_type: Type of the owner of what it found.
        key_type: Type of the user's key.
    """

    def __init__(self, found: str, *, owner_type: str, key_type: str) -> None:
        super().__init__(found, owner_type, key_type)
        self.found = found
        self.owner_type = owner_type
        self.key_type = key_type

    def __str__(self) -> str:
        return (
            f"The owner of what {self.found} found is a {self.owner_type}, and the user's key a "
            f"{self.key_type}: these can't be compared as ids. Give both one type, such as int, "
            f"str or UUID: owned(..., key=lambda user: str(user.id)), or likewise owner=."
        )


class CheckTypeError(SturdyError, TypeError):
    """A check was given a method that nobody called, or a result that nobody awaited.

    Either would count as true, whatever the answer is.
    """


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
