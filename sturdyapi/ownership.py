"""Whose is it: dependencies that answer a stranger's object with the 404 of a missing one.

FastAPI solves the dependencies of a function in the order of its parameters, and one that raises
stops the rest. An `owned()` is therefore three: the user, a guard that lets no anonymous request
pass on to what loads the object, and the check itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from http.client import responses as phrases
from inspect import Parameter, Signature, getattr_static, isawaitable, iscoroutine, isroutine
from logging import getLogger
from threading import Lock
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
)
from uuid import UUID
from weakref import WeakValueDictionary

from fastapi import HTTPException, WebSocketException, params
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.status import WS_1008_POLICY_VIOLATION
from typing_inspection.typing_objects import is_typealiastype

from .exceptions import CheckTypeError, ConfigurationError, OwnerLookupError, OwnerTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi.dependencies.models import Dependant
    from typing_extensions import TypeAliasType

    DependencyLike = Callable[..., Any] | TypeAliasType
    """What FastAPI takes, and a `type` or other name that stands for it."""

__all__ = ["Ownership", "describe_ownership", "found", "must", "owned", "ownership_of"]

T = TypeVar("T")

_log = getLogger("sturdyapi.ownership")

_ID_TYPES: tuple[Any, ...] = (int, str, UUID, bytes, Decimal)
"""Compared as what they are, whatever a subclass makes of `==`."""

_NO_ID_TYPES = (bool, float, tuple)
"""A truth value is an `int` to Python, a float is rounded, so that two ids may become one, and of
tuples the parts are compared.
"""

_MAY_BE_EMPTY = (str, bytes, tuple)
"""Without content they name nobody."""

_MOST_NAMES = 20
_LONGEST_REASON = 123
"""Bytes that a websocket's close frame has for a reason."""


def owned(
    find: DependencyLike,
    *,
    by: DependencyLike,
    owner: str | Callable[[Any], Any] = "owner_id",
    key: str | Callable[[Any], Any] = "id",
    bypass: Callable[[Any], object] | None = None,
) -> Any:
    """Return a `Depends` that gives what `find` found, if it belongs to the user that `by` gives.

    No user (`None`) is a 401 before `find` runs. Nothing found (`None`) and somebody else's are
    the same 404. The same arguments give the same dependency, which runs once a request.

    Args:
        find: Dependency that loads the object or returns `None`: whatever FastAPI takes, a
            `Depends(...)`, or an `Annotated[...]` with one. Should not raise a 404 of its own.
        by: Dependency that returns the user, or `None` for nobody; or another `owned()`, whose
            object is the parent of this one.
        owner: Attribute or key of the object that tells whose it is, or a function of the object.
        key: The same of the user.
        bypass: Function of the user that says whether they may see everybody's. Each use is
            logged. A missing object stays a 404.

    Raises:
        ConfigurationError: An argument is of no use.
        OwnerLookupError: At request time: there is no such attribute or key.
        OwnerTypeError: At request time: the two ids are of types that are never equal.
    """
    _refuse_bad_source("owner", owner)
    _refuse_bad_source("key", key)
    if bypass is not None:
        _refuse_uncallable("owned(bypass=)", bypass)
    finder = _as_depends("owned(find)", find)
    guard = _remembered(_Guard, _as_depends("owned(by=)", by))
    return params.Depends(
        _remembered(_OwnerCheck, finder, params.Depends(guard), owner, key, bypass)
    )


def must(
    find: DependencyLike,
    *conditions: Callable[[Any], object],
    status: int = 404,
    detail: Any = None,
) -> Any:
    """Return a `Depends` that gives what `find` found, if every condition holds for it.

    Nothing found (`None`) is a 404, whatever `status` is.

    Args:
        find: As in `owned()`; may be an `owned()` itself.
        *conditions: Functions of what was found, `def` or `async def`; asked in this order.
        status: Of the answer when one does not hold, 400 to 499.
        detail: As in `HTTPException`; the standard phrase of the status if not given.

    Raises:
        ConfigurationError: An argument is of no use.
    """
    for condition in conditions:
        _refuse_uncallable("must(condition)", condition)
    if status not in range(400, 500):
        raise ConfigurationError(f"must(status={status!r}) is no refusal. Give one of 400 to 499.")
    finder = _as_depends("must(find)", find)
    return params.Depends(_remembered(_ConditionCheck, finder, conditions, int(status), detail))


def found(value: T | None, detail: Any = None) -> T:
    """Return the value, or answer 404 if it is `None`.

    For a statement that names the owner itself: `found(await db.fetchrow("update ... where
    id = $1 and owner_id = $2 returning *", ...))`.

    Raises:
        HTTPException: 404, with `detail` if given.
        CheckTypeError: The value was not awaited: the statement has not run.
    """
    if value is None:
        raise HTTPException(404, detail)
    _refuse_unawaited(value)
    return value


def _refuse_unawaited(value: Any) -> None:
    if isawaitable(value):
        if iscoroutine(value):
            value.close()  # spares a warning that says the same
        raise CheckTypeError(
            f"found() was given a {_type_name(value)}. Await it: found(await ...)."
        )


# OpenAPI.


class _ServedRoute(Protocol):
    """What is needed of a `sturdyapi.routing.RouteView`."""

    @property
    def state(self) -> Any: ...

    @property
    def dependant(self) -> Dependant: ...


def describe_ownership(view: _ServedRoute) -> None:
    """Add the answers of `owned()` and `must()` to the OpenAPI responses of one route.

    What the route declares itself stays. A plain FastAPI app that includes the same router keeps
    its own responses.
    """
    declared = view.state.responses
    spoken_for = {str(status).upper() for status in declared}
    statuses = {status for check in _checks(view.dependant) for status in check.statuses}
    if spoken_for & {"4XX", "DEFAULT"}:
        return
    added = {
        status: {"description": phrases.get(status, "Refused")}
        for status in sorted(statuses)
        if str(status) not in spoken_for
    }
    if added:
        # Replaced, never changed: copies of a route may share one dict.
        view.state.responses = {**declared, **added}


class Ownership(NamedTuple):
    """What `owned()` and `must()` ask before an endpoint runs."""

    rules: tuple[str, ...]
    """As they are written, such as `owned(find_order)` or `must(owned(find_order))`."""
    users: tuple[str, ...]
    """What gives the users, such as `current_user()`."""


def ownership_of(dependant: Dependant) -> Ownership:
    """Return what guards one endpoint, in the order in which it runs."""
    checks = list(dict.fromkeys(_checks(dependant)))
    rules = [check for check in checks if not isinstance(check, _Guard)]
    inner = {rule.given_by for rule in rules}
    users = [check.given_by for check in checks if isinstance(check, _Guard)]
    return Ownership(
        rules=tuple(str(rule) for rule in rules if rule not in inner),
        users=tuple(_call_name(user) for user in users if not isinstance(user, _Check)),
    )


def _checks(dependant: Dependant) -> Iterator[_Check]:
    for child in dependant.dependencies:
        yield from _checks(child)
    call: Any = dependant.call
    if isinstance(call, _Check):
        yield call


# The dependencies, in the order in which they run.


class _Check:
    """A dependency that may refuse; FastAPI reads its parameters from the signature."""

    name: ClassVar[str]
    statuses: tuple[int, ...] = ()
    """What it may answer with."""

    def __init__(self, given_by: params.Depends, **dependencies: params.Depends) -> None:
        self.given_by: Any = given_by.dependency
        # Not a `Request`, which is missing on websockets.
        connection = Parameter("connection", Parameter.KEYWORD_ONLY, annotation=HTTPConnection)
        solved = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=depends)
            for name, depends in dependencies.items()
        ]
        self.__signature__ = Signature([connection, *solved])

    def __str__(self) -> str:
        given_by = self.given_by
        inner = str(given_by) if isinstance(given_by, _Check) else _call_name(given_by)
        return f"{self.name}({inner.removesuffix('()')})"


class _Guard(_Check):
    """Gives the user; without one, nothing behind it runs."""

    name = "by"
    statuses = (401,)

    def __init__(self, by: params.Depends) -> None:
        super().__init__(by, user=by)

    async def __call__(self, *, connection: HTTPConnection, user: Any) -> Any:
        if user is None:
            raise _refusal(
                connection, 401, "Not authenticated", headers={"WWW-Authenticate": "Bearer"}
            )
        return user


class _OwnerCheck(_Check):
    """Gives what was found to whom it belongs."""

    name = "owned"
    statuses = (404,)

    def __init__(
        self,
        find: params.Depends,
        guard: params.Depends,
        owner: str | Callable[[Any], Any],
        key: str | Callable[[Any], Any],
        bypass: Callable[[Any], object] | None,
    ) -> None:
        super().__init__(find, user=guard, value=find)
        self._find = _call_name(find.dependency)
        self._owner = owner
        self._key = key
        self._bypass = bypass

    async def __call__(self, *, connection: HTTPConnection, user: Any, value: Any) -> Any:
        if value is None:
            raise _refusal(connection, 404)
        key = await _read(user, self._key, "key")
        owner = await _read(value, self._owner, "owner")
        if not _is_same(owner, key, self._find):
            if not await self._may_bypass(user):
                raise _refusal(connection, 404)
            self._log_bypass(connection, key)
        return value

    async def _may_bypass(self, user: Any) -> bool:
        answer = self._bypass is not None and await _answer(self._bypass, user)
        # A cursor or a method that nobody called would open everything to everybody.
        if answer and answer is not True:
            raise CheckTypeError(
                f"{_call_name(self._bypass)} answered with a {_type_name(answer)}. "
                "A bypass must return True or False."
            )
        return bool(answer)

    def _log_bypass(self, connection: HTTPConnection, key: Any) -> None:
        _log.info(
            "user %r passed over the owner check of %s: %s %r",
            str(key),
            self._find,
            connection.scope.get("method", "WEBSOCKET"),
            connection.scope["path"],
        )


class _ConditionCheck(_Check):
    """Gives what was found if every condition holds."""

    name = "must"

    def __init__(
        self,
        find: params.Depends,
        conditions: tuple[Callable[[Any], object], ...],
        status: int,
        detail: Any,
    ) -> None:
        super().__init__(find, value=find)
        self.statuses = (404, status) if conditions else (404,)
        self._conditions = conditions
        self._status = status
        self._detail = detail

    async def __call__(self, *, connection: HTTPConnection, value: Any) -> Any:
        if value is None:
            raise _refusal(connection, 404)
        for condition in self._conditions:
            if not await _holds(condition, value):
                raise _refusal(connection, self._status, self._detail)
        return value


async def _holds(condition: Callable[[Any], object], value: Any) -> bool:
    answer = await _answer(condition, value)
    if isroutine(answer):
        raise CheckTypeError(
            f"{_call_name(condition)} answered with a {_type_name(answer)}, which is always true. "
            "Call it, and return what it says."
        )
    return bool(answer)


async def _answer(function: Callable[[Any], Any], value: Any) -> Any:
    answer = function(value)
    return await answer if isawaitable(answer) else answer


def _refusal(
    connection: HTTPConnection,
    status: int,
    detail: Any = None,
    *,
    headers: dict[str, str] | None = None,
) -> Exception:
    """Return a new error, since one that is raised twice gathers tracebacks."""
    phrase = phrases.get(status, "Refused")
    if connection.scope["type"] != "websocket":
        return HTTPException(status, phrase if detail is None else detail, headers)
    reason = detail if isinstance(detail, str) else phrase.capitalize()
    fitting = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
    return WebSocketException(WS_1008_POLICY_VIOLATION, fitting)


# Whose it is.


async def _read(source: Any, what: str | Callable[[Any], Any], argument: str) -> Any:
    return _member(source, what, argument) if isinstance(what, str) else await _answer(what, source)


def _member(source: Any, name: str, argument: str) -> Any:
    if isinstance(source, Mapping):
        if name in source:
            return source[name]
    else:
        try:
            return getattr(source, name)
        except AttributeError:
            # A property that fails is not missing: its own error says more.
            if getattr_static(source, name, None) is not None:
                raise
        if name in _row_keys(source):
            return source[name]
    known = sorted(_names(source))[:_MOST_NAMES]
    type_name = _type_name(source)
    raise OwnerLookupError(argument, name, type_name=type_name, known=known) from None


def _row_keys(source: Any) -> list[Any]:
    """Return the columns of a database driver's row, which need not be a `Mapping`."""
    keys = getattr(source, "keys", None)
    return list(keys()) if callable(keys) and hasattr(source, "__getitem__") else []


def _names(source: Any) -> set[str]:
    """Return names of fields only, since keys may be data as well."""
    # Never by iteration, which gives the values of a row.
    if keys := _row_keys(source):
        return {key for key in keys if isinstance(key, str) and key.isidentifier()}
    # Pydantic's own attributes start with `model_`.
    public = (name for name in dir(source) if not name.startswith(("_", "model_")))
    return {name for name in public if not _is_method(getattr_static(source, name, None))}


def _is_method(attribute: object) -> bool:
    return callable(attribute) or isinstance(attribute, classmethod | staticmethod)


def _is_same(owner: Any, key: Any, find: str) -> bool:
    """Tell whether two ids are equal; nobody is equal to nobody."""
    if _is_nobody(owner) or _is_nobody(key):
        return False
    if isinstance(owner, tuple) and isinstance(key, tuple) and len(owner) == len(key):
        # Every part, so that one of a wrong type is not hidden by one that differs.
        answers = [_is_same(*parts, find) for parts in zip(owner, key, strict=True)]
        return all(answers)
    answer = _compared(owner, key)
    if not isinstance(answer, bool):
        raise OwnerTypeError(find, owner_type=_id_name(owner), key_type=_id_name(key))
    return answer


def _id_name(value: Any) -> str:
    return f"tuple of {len(value)}" if isinstance(value, tuple) else _type_name(value)


def _is_nobody(value: Any) -> bool:
    return value is None or (isinstance(value, _MAY_BE_EMPTY) and not value)


def _compared(owner: Any, key: Any) -> Any:
    """Return whether two ids are equal, or something else if they can't be compared."""
    if isinstance(owner, _NO_ID_TYPES) or isinstance(key, _NO_ID_TYPES):
        return NotImplemented
    for id_type in _ID_TYPES:
        if isinstance(owner, id_type) and isinstance(key, id_type):
            return id_type.__eq__(owner, key)
    if isinstance(owner, int | Decimal) and isinstance(key, int | Decimal):
        return Decimal(owner) == Decimal(key)
    if not (isinstance(owner, type(key)) or isinstance(key, type(owner))):
        return NotImplemented
    owner_type: Any = type(owner)
    if owner_type.__eq__ is object.__eq__ and not isinstance(owner, Enum):
        # Equal only to itself, and the next request loads another object of the same row.
        return NotImplemented
    return owner == key


# What is given to `owned()` and `must()`.


_known_checks: WeakValueDictionary[tuple[Any, ...], _Check] = WeakValueDictionary()
_known_checks_lock = Lock()

C = TypeVar("C", bound=_Check)


def _remembered(make: Callable[..., C], *facts: Any) -> C:
    """Return the check that these facts gave before, as long as anybody still uses it.

    FastAPI keeps a request's results, and finds a test's override, by the object that is called.
    """
    # With their types: 1 and True are equal, and not the same answer.
    key = (make, *facts, *map(type, facts))
    try:
        hash(key)
    except TypeError:
        return make(*facts)
    with _known_checks_lock:
        check = _known_checks.get(key)
        if check is None:
            check = _known_checks[key] = make(*facts)
    return check  # type: ignore[return-value]  # the key holds its class


def _as_depends(argument: str, given: Any) -> params.Depends:
    """Return a dependency in one form, equal for all ways to write it."""
    alias: Any = given.__value__ if is_typealiastype(given) else given
    origin: Any = get_origin(alias)
    if origin is Annotated:
        depends = _annotated_depends(argument, alias)
    else:
        depends = given if isinstance(given, params.Depends) else params.Depends(given)
    if isinstance(depends, params.Security):
        depends = replace(depends, scopes=tuple(depends.scopes or ()))
    _refuse_bad_call(argument, depends.dependency)
    return depends


def _annotated_depends(argument: str, alias: Any) -> params.Depends:
    result_type, *metadata = get_args(alias)
    for each in reversed(metadata):
        if isinstance(each, params.Depends):
            return each if each.dependency else replace(each, dependency=result_type)
    raise ConfigurationError(
        f"{argument} is an Annotated[...] without a Depends(...). Give the function that loads the "
        "object."
    )


def _refuse_bad_call(argument: str, call: Any) -> None:
    _refuse_uncallable(argument, call)
    if isinstance(call, type) and issubclass(call, BaseModel):
        raise ConfigurationError(
            f"{argument} is the model {call.__name__}: FastAPI would fill it from the request, "
            "as the client likes. Give a function that loads it."
        )
    try:
        hash(call)
    except TypeError:
        raise ConfigurationError(
            f"{argument} is a {_type_name(call)}, which has no hash: FastAPI keeps a request's "
            "results by it. Give its class a __hash__."
        ) from None


def _refuse_uncallable(argument: str, given: Any) -> None:
    if not callable(given):
        raise ConfigurationError(
            f"{argument} is a {_type_name(given)}, which can't be called. Give a function, "
            "without calling it."
        )


def _refuse_bad_source(argument: str, given: Any) -> None:
    if given == "" or not (isinstance(given, str) or callable(given)):
        raise ConfigurationError(
            f"owned({argument}=) is {'empty' if given == '' else f'a {_type_name(given)}'}. Give "
            "the name of an attribute or key, or a function."
        )


def _call_name(call: Any) -> str:
    return f"{getattr(call, '__qualname__', type(call).__qualname__)}()"


def _type_name(value: object) -> str:
    cls = type(value)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
