"""What `owned()` and `must()` are given: equal arguments, and arguments of no use."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from threading import Barrier, Thread
from typing import Annotated, Any

import pytest
from fastapi import Depends, Query, Security
from typing_extensions import TypeAliasType

from sturdyapi import BaseModel
from sturdyapi.exceptions import ConfigurationError
from sturdyapi.ownership import must, owned

from .support import Order, User, current_user, get, serve


def find_order(order_id: int) -> Order | None:
    """Return an order of user 1."""
    return Order(order_id, 1)


def read_owner(order: Order) -> int | None:
    """Return the owner's id."""
    return order.owner_id


def is_open(_order: Order) -> bool:
    """Tell that the order is open."""
    return True


def is_admin(user: User) -> bool:
    """Tell whether the user is an administrator."""
    return user.is_admin


class Repository:
    def find(self, order_id: int) -> Order | None:
        return find_order(order_id)


FoundOrder = Annotated[Order, Depends(find_order)]
NamedOrder = TypeAliasType("NamedOrder", FoundOrder)
LastOfTwo = Annotated[Order, Depends(partial(find_order, 2)), Depends(find_order)]
NotADependency = Annotated[Order, Query()]
REPOSITORY = Repository()
LIMITED = Depends(find_order, max_concurrency=2)


# The same again.


@pytest.mark.parametrize(
    "make",
    [
        lambda: owned(find_order, by=current_user),
        lambda: owned(REPOSITORY.find, by=current_user),
        lambda: owned(find_order, by=current_user, owner=read_owner, key="id", bypass=is_admin),
        lambda: owned(LIMITED, by=Security(current_user, scopes=["a", "b"])),
        lambda: owned(find_order, by=owned(find_order, by=current_user), owner="id"),
        lambda: must(find_order, is_open, is_open, status=409, detail="closed"),
        lambda: must(owned(find_order, by=current_user), is_open),
    ],
)
def test_the_same_arguments_give_the_same_dependency(make: Callable[[], Any]) -> None:
    """Two calls with the same arguments are one dependency to FastAPI."""
    assert make().dependency is make().dependency


def test_forms_of_one_dependency_are_the_same() -> None:
    """A function, a `Depends` of it and an `Annotated` with that are one."""
    plain = owned(find_order, by=current_user).dependency

    assert owned(Depends(find_order), by=Depends(current_user)).dependency is plain
    assert owned(FoundOrder, by=current_user).dependency is plain


@pytest.mark.parametrize(
    "other",
    [
        lambda: owned(find_order, by=lambda: User(1)),
        lambda: owned(find_order, by=current_user, owner="id"),
        lambda: owned(find_order, by=current_user, key="number"),
        lambda: owned(find_order, by=current_user, bypass=is_admin),
        lambda: owned(Depends(find_order, use_cache=False), by=current_user),
        lambda: owned(Depends(find_order, scope="function"), by=current_user),
        lambda: owned(Security(find_order, scopes=["a"]), by=current_user),
        lambda: owned(find_order, by=Security(current_user, scopes=["a"])),
        lambda: owned(LIMITED, by=current_user),
        lambda: must(find_order),
    ],
)
def test_other_arguments_give_another_dependency(other: Callable[[], Any]) -> None:
    """Whatever differs makes another dependency."""
    assert other().dependency is not owned(find_order, by=current_user).dependency


@pytest.mark.parametrize(
    "other",
    [
        lambda: must(find_order, is_open, status=409),
        lambda: must(find_order, is_open, detail="closed"),
        lambda: must(find_order, is_open, is_open),
        lambda: must(find_order, read_owner),
    ],
)
def test_other_conditions_give_another_dependency(other: Callable[[], Any]) -> None:
    """The same holds for `must()`."""
    assert other().dependency is not must(find_order, is_open).dependency


def test_what_nobody_uses_is_forgotten() -> None:
    """A dependency lives as long as the app that uses it, and what it was made of does too."""

    def make() -> tuple[weakref.ref[Any], ...]:
        def find() -> Order:
            return Order(1, 1)

        dependency = must(owned(find, by=current_user, key=lambda user: user.id), is_open)
        return weakref.ref(find), weakref.ref(dependency.dependency)

    references = [reference for _round in range(3) for reference in make()]

    gc.collect()
    assert [reference() for reference in references] == [None] * 6


def test_threads_get_the_same_dependency() -> None:
    """Apps that are built side by side share it."""
    barrier = Barrier(8)
    made: list[Any] = []

    def make() -> None:
        barrier.wait()
        made.append(owned(find_order, by=current_user, owner=read_owner))

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(each.dependency) for each in made}) == 1


def test_what_has_no_hash_works_all_the_same() -> None:
    """A detail that can't be remembered makes a dependency of its own."""
    first = must(find_order, detail={"code": "closed"})
    second = must(find_order, detail={"code": "closed"})

    assert first.dependency is not second.dependency
    assert get(serve(first)).status_code == 200


# Arguments of no use.


class NoHash:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> None:
        """Find nothing."""


NOTHING_TO_CALL: list[Any] = [None, "find_order", 7, Order(1, 1)]


@pytest.mark.parametrize("given", NOTHING_TO_CALL)
def test_what_cannot_be_called_is_refused(given: Any) -> None:
    """Each argument that must be a function says so at once, and names what it was given."""
    of_type = f"is a .*{type(given).__name__}.*can't be called"
    with pytest.raises(ConfigurationError, match=rf"owned\(find\) {of_type}"):
        owned(given, by=current_user)
    with pytest.raises(ConfigurationError, match=rf"owned\(by=\) {of_type}"):
        owned(find_order, by=given)
    with pytest.raises(ConfigurationError, match=rf"must\(find\) {of_type}"):
        must(given)
    with pytest.raises(ConfigurationError, match=rf"must\(condition\) {of_type}"):
        must(find_order, given)


def test_a_depends_of_nothing_is_refused() -> None:
    """`Depends()` without a function has no type to take one from."""
    with pytest.raises(ConfigurationError, match=r"owned\(find\)"):
        owned(Depends(), by=current_user)


def test_a_bypass_that_cannot_be_called_is_refused() -> None:
    """`bypass=True` would open everything to everybody."""
    with pytest.raises(ConfigurationError, match=r"owned\(bypass=\) is a bool"):
        owned(find_order, by=current_user, bypass=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["owner", "key"])
@pytest.mark.parametrize(("given", "words"), [("", "is empty"), (None, "NoneType"), (7, "int")])
def test_an_owner_needs_a_name(argument: str, given: Any, words: str) -> None:
    """`owner=` and `key=` are a name or a function."""
    with pytest.raises(ConfigurationError, match=rf"owned\({argument}=\).*{words}"):
        owned(find_order, by=current_user, **{argument: given})


@pytest.mark.parametrize("status", [200, 399, 500, "404", None, 404.5, True])
def test_a_refusal_has_a_status_for_it(status: Any) -> None:
    """Only a status of the client's faults refuses."""
    with pytest.raises(ConfigurationError, match="400 to 499"):
        must(find_order, is_open, status=status)


def test_a_model_is_no_way_to_find() -> None:
    """FastAPI fills a model from the request: the client would choose its own owner, or user."""

    class OrderModel(BaseModel):
        id: int
        owner_id: int

    annotated: Any = Annotated[OrderModel, Depends()]
    makers: list[Callable[[], Any]] = [
        lambda: owned(OrderModel, by=current_user),
        lambda: owned(find_order, by=OrderModel),
        lambda: owned(annotated, by=current_user),
        lambda: must(OrderModel),
    ]
    for make in makers:
        with pytest.raises(ConfigurationError, match="as the client likes"):
            make()


def test_what_fastapi_cannot_remember_is_refused() -> None:
    """FastAPI keeps results by the callable, which needs a hash for that."""
    with pytest.raises(ConfigurationError, match=r"NoHash, which has no hash"):
        owned(NoHash(), by=current_user)


def test_an_annotation_without_depends_is_refused() -> None:
    """An `Annotated` that names no dependency would be called as a class."""
    with pytest.raises(ConfigurationError, match="without a Depends"):
        owned(NotADependency, by=current_user)


def test_the_last_depends_of_an_annotation_counts() -> None:
    """As with FastAPI, the last of several wins."""
    plain = owned(find_order, by=current_user)

    assert owned(LastOfTwo, by=current_user).dependency is plain.dependency


def test_a_named_type_may_stand_for_the_annotation() -> None:
    """A `type MyProject = Annotated[...]` is looked into."""
    plain = owned(find_order, by=current_user)

    assert owned(NamedOrder, by=current_user).dependency is plain.dependency
