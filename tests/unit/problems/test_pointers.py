"""A 422 points at each fault, by names that are the model's own."""

import json
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Body, Cookie, Depends, File, Form, Header, Path, Query, UploadFile
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    PlainValidator,
    create_model,
)
from starlette.testclient import TestClient

from .support import (
    MASKED,
    SECRET,
    Address,
    Document,
    Pair,
    Pet,
    Point,
    Strict,
    client_for,
    errors_of,
    follow,
    new_app,
    only,
    refused,
)

# Where the fault is.


class Order(BaseModel):
    model_config = ConfigDict(validate_by_alias=True, validate_by_name=True)
    delivery_address: Address = Field(alias="deliveryAddress")
    odd: int = Field(0, alias="a/b~c d%é")
    pets: list[Pet] = []
    mixed: int | Address | list[int] = 0
    by_name: dict[str, Address] = {}
    chosen: int = Field(0, validation_alias=AliasChoices("first", "second"))
    picked: int = Field(0, validation_alias=AliasPath("deep", "er", 1))
    children: list["Order"] = []
    embedded: Json[Address] | None = None
    fixed: tuple[int, Literal["x"]] = (0, "x")


ADDRESS = {"street": "x"}


@pytest.mark.parametrize(
    ("extra", "pointers"),
    [
        ({"deliveryAddress": {"street": 1}}, ["#/deliveryAddress/street"]),
        ({"deliveryAddress": ADDRESS | {"lines": [1, "x", 2, "y"]}},
         ["#/deliveryAddress/lines/1", "#/deliveryAddress/lines/3"]),
        ({"a/b~c d%é": "x"}, ["#/a~1b~0c%20d%25%C3%A9"]),
        ({"pets": [{"kind": "cat", "lives": "x"}]}, ["#/pets/0/lives"]),
        ({"pets": [{"kind": "cow"}]}, ["#/pets/0"]),
        ({"mixed": {"street": 1}}, ["#/mixed", "#/mixed/street", "#/mixed"]),
        ({"mixed": ["x"]}, ["#/mixed", "#/mixed", "#/mixed/0"]),
        ({"second": "x"}, ["#/second"]),
        ({"deep": {"er": [1, "x"]}}, ["#/deep/er/1"]),
        ({"embedded": '{"street": 1}'}, ["#/embedded"]),
        ({"fixed": [1, "y"]}, ["#/fixed/1"]),
        ({"children": [{"deliveryAddress": ADDRESS, "pets": [1]}]}, ["#/children/0/pets/0"]),
    ],
)  # fmt: skip
def test_pointer_leads_to_the_fault(extra: dict[str, Any], pointers: list[str]) -> None:
    """The pointer is a JSON Pointer into the body that was sent, without Pydantic's own labels."""
    body = {"deliveryAddress": ADDRESS, **extra}

    errors = refused(Order, body)

    assert [error["pointer"] for error in errors] == pointers
    for pointer in pointers:
        follow(pointer, body)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/deliveryAddress"),
        ({"deliveryAddress": {}}, "#/deliveryAddress/street"),
        ({"delivery_address": {}}, "#/delivery_address/street"),
        ({"deliveryAddress": ADDRESS, "pets": [{"kind": "dog"}]}, "#/pets/0/name"),
    ],
)
def test_pointer_to_a_missing_member_ends_in_its_name(body: Any, pointer: str) -> None:
    """A missing member is pointed at by the name the client should have sent."""
    error = only(refused(Order, body))

    assert (error["code"], error["pointer"]) == ("missing", pointer)


@pytest.mark.parametrize("body", [{}, {"deep": {}}, {"deep": {"er": []}}])
def test_pointer_to_a_missing_path_ends_in_it(body: Any) -> None:
    """A missing value that is read from a path is pointed at by the whole path."""

    class Picked(BaseModel):
        value: int = Field(validation_alias=AliasPath("deep", "er", 0))

    assert only(refused(Picked, body))["pointer"] == "#/deep/er/0"


@pytest.mark.parametrize(
    ("annotation", "value", "pointer"),
    [
        (dict[str, int], {SECRET: "x"}, "#/*"),
        (dict[str, list[Address]], {SECRET: [ADDRESS, {}]}, "#/*/1/street"),
        (dict[int, int], {SECRET: 1}, "#/*"),
        (Strict, {SECRET: 1}, "#/*"),
        (Annotated[Order, Body()], {"deliveryAddress": ADDRESS, "by_name": {SECRET: {}}},
         "#/by_name/*/street"),
    ],
)  # fmt: skip
def test_key_that_the_client_chose_is_a_star(annotation: Any, value: Any, pointer: str) -> None:
    """A key that no model declares is shown as `*`: it can be a secret."""
    assert only(refused(annotation, value))["pointer"] == pointer


def test_body_that_is_a_list() -> None:
    """A body that is a list is pointed into by index."""
    errors = refused(list[Address], [ADDRESS, {"street": 1}, 3])

    assert [error["pointer"] for error in errors] == ["#/1/street", "#/2"]


@pytest.mark.parametrize("value", [None, 0, "", [], "text"])
def test_body_of_the_wrong_kind(value: Any) -> None:
    """A body that is no object where one is needed is pointed at as a whole."""
    assert only(refused(Address, value))["pointer"] == "#"


def test_absent_body() -> None:
    """An absent body is a missing member at the root."""
    error = only(errors_of(client_for(Address).post("/")))

    assert (error["in"], error["pointer"], error["code"]) == ("body", "#", "missing")


def test_body_of_another_content_type() -> None:
    """A body that was not sent as JSON is refused as a whole."""
    response = client_for(Address).post(
        "/", content=f'{{"street": "{SECRET}"', headers={"Content-Type": "text/plain"}
    )

    error = only(errors_of(response))
    assert error["pointer"] == "#"
    assert SECRET not in response.text


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (f'{{"street": "{SECRET}"', "Expecting ',' delimiter (character 23)"),
        (f'{{"street": {SECRET}}}', "Expecting value (character 11)"),
        (f'{{"street": "{SECRET}\\q"}}', "Invalid \\escape (character 22)"),
        (f"[1] {SECRET}", "Extra data (character 4)"),
    ],
)
def test_undecodable_body_tells_where(content: str, detail: str) -> None:
    """A body that is not JSON is answered with the kind and the position of the fault."""
    response = client_for(Address).post(
        "/", content=content, headers={"Content-Type": "application/json"}
    )

    assert only(errors_of(response)) == {
        "in": "body",
        "pointer": "#",
        "code": "json_invalid",
        "detail": f"The body is not valid JSON: {detail}",
    }


def test_refused_json_text_in_a_list_is_no_undecodable_body() -> None:
    """A `Json` item of a list that is not JSON is a fault of that item, not of the body."""
    error = only(refused(list[Json[int]], ["1", SECRET]))

    assert (error["pointer"], error["detail"]) == ("#/1", "Input should be valid JSON")


def test_labels_of_a_parameter_are_left_out() -> None:
    """Pydantic's labels for the members of a union are left out for parameters as well."""
    app = new_app()

    @app.get("/{number}")
    async def endpoint(
        number: Annotated[int | bool, Path()],
        items: Annotated[list[int | bool], Query(alias="item~s")],
        packed: Annotated[Json[list[int]], Query()],
    ) -> None: ...

    response = TestClient(app).get(
        f"/{SECRET}", params={"item~s": ["1", SECRET], "packed": json.dumps([1, SECRET])}
    )

    errors = errors_of(response)
    assert {(error["in"], error["pointer"]) for error in errors} == {
        ("path", "#/number"),
        ("query", "#/item~0s/1"),
        ("query", "#/packed/1"),
    }
    assert SECRET not in response.text


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid")
    page_size: int = 1
    tags: list[int] = []


def test_header_and_cookie_parameters() -> None:
    """Headers and cookies are pointed at by the names they are sent under."""
    app = new_app()

    @app.get("/")
    async def endpoint(
        x_count: Annotated[int, Header()],
        session: Annotated[int, Cookie(alias="session-id")],
        x_missing: Annotated[str, Header()],
    ) -> None: ...

    client = TestClient(app, headers={"X-Count": SECRET}, cookies={"session-id": SECRET})
    response = client.get("/")

    assert {(error["in"], error["pointer"], error["code"]) for error in errors_of(response)} == {
        ("header", "#/x-count", "int_parsing"),
        ("header", "#/x-missing", "missing"),
        ("cookie", "#/session-id", "int_parsing"),
    }
    assert SECRET not in response.text


def test_parameter_models() -> None:
    """The fields of a parameter model are pointed at by name; what it does not know is a `*`."""
    app = new_app()

    @app.get("/query")
    async def query(filters: Annotated[Filters, Query()]) -> None: ...

    @app.get("/header")
    async def header(filters: Annotated[HeaderFilters, Header()]) -> None: ...

    client = TestClient(app)
    params = {"page_size": SECRET, "tags": ["1", SECRET], SECRET: SECRET}

    assert [error["pointer"] for error in errors_of(client.get("/query", params=params))] == [
        "#/page_size",
        "#/tags/1",
        "#/*",
    ]
    response = client.get("/header", headers={"page-size": SECRET})
    assert [error["pointer"] for error in errors_of(response)] == ["#/page-size"]


class HeaderFilters(BaseModel):
    page_size: int


def test_form_parameters() -> None:
    """The fields of a form are pointed at by name, items by index."""
    app = new_app()

    @app.post("/")
    async def endpoint(
        count: Annotated[int, Form()],
        tags: Annotated[list[int], Form()],
        name: Annotated[str, Form(alias="full/name")],
    ) -> None: ...

    response = TestClient(app).post("/", data={"count": SECRET, "tags": ["1", SECRET]})

    assert [(error["pointer"], error["code"]) for error in errors_of(response)] == [
        ("#/count", "int_parsing"),
        ("#/tags/1", "int_parsing"),
        ("#/full~1name", "missing"),
    ]
    assert SECRET not in response.text


def test_form_models() -> None:
    """A form model that forbids extras tells none of their names."""
    app = new_app()

    @app.post("/")
    async def endpoint(form: Annotated[Filters, Form()]) -> None: ...

    response = TestClient(app).post("/", data={"page_size": SECRET, SECRET: SECRET})

    assert [(error["pointer"], error["code"]) for error in errors_of(response)] == [
        ("#/page_size", "int_parsing"),
        ("#/*", "extra_forbidden"),
    ]


def test_files() -> None:
    """Neither the name of a file nor what is in it is told."""
    app = new_app()

    def refuse(file: UploadFile) -> UploadFile:
        raise ValueError(f"{file.filename} is too large")

    def refuse_bytes(content: bytes) -> bytes:
        raise ValueError(f"{content!r} is refused")

    @app.post("/")
    async def endpoint(
        upload: Annotated[UploadFile, AfterValidator(refuse)],
        content: Annotated[bytes, File(), AfterValidator(refuse_bytes)],
        count: Annotated[int, Form()],
    ) -> None: ...

    files = {"upload": (f"{SECRET}.txt", b"x"), "content": ("a.txt", SECRET.encode())}
    response = TestClient(app).post("/", files=files)

    assert [(error["pointer"], error["detail"]) for error in errors_of(response)] == [
        ("#/upload", MASKED),
        ("#/content", MASKED),
        ("#/count", "Field required"),
    ]


def test_file_that_is_a_text() -> None:
    """A text where a file is expected is refused without being told."""
    app = new_app()

    @app.post("/")
    async def endpoint(upload: UploadFile) -> None: ...

    response = TestClient(app).post("/", data={"upload": SECRET})

    assert only(errors_of(response))["pointer"] == "#/upload"
    assert SECRET not in response.text


def test_several_body_parameters() -> None:
    """Body parameters of the endpoint and of its dependencies are members of one body."""
    app = new_app()

    async def dependency(address: Annotated[Address, Body()]) -> None: ...

    @app.post("/", dependencies=[Depends(dependency)])
    async def endpoint(order: Strict, count: Annotated[int, Body()]) -> None: ...

    body = {"address": {"street": 1}, "order": {SECRET: 1}}
    response = TestClient(app).post("/", json=body)

    assert {(error["pointer"], error["code"]) for error in errors_of(response)} == {
        ("#/address/street", "string_type"),
        ("#/order/*", "extra_forbidden"),
        ("#/count", "missing"),
    }


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_embedded_parameter_in_a_body_that_is_no_object(body: Any) -> None:
    """An embedded body parameter is missing from a body that is no object."""
    app = new_app()

    @app.post("/")
    async def endpoint(address: Annotated[Address, Body(embed=True)]) -> None: ...

    error = only(errors_of(TestClient(app).post("/", json=body)))

    assert (error["pointer"], error["code"]) == ("#/address", "missing")


# Whose names are known.


def test_names_of_a_routers_dependencies_are_known() -> None:
    """Parameters of dependencies that a router was included with are shown by name."""
    app = new_app()
    router = APIRouter()

    async def paged(page: int) -> None: ...

    async def keyed(api_key: Annotated[int, Header()]) -> None: ...

    @router.get("/items/{number}")
    async def endpoint(number: int) -> None: ...

    parent = APIRouter()
    parent.include_router(router, dependencies=[Depends(paged)])
    app.include_router(parent, prefix="/v1", dependencies=[Depends(keyed)])

    response = TestClient(app).get("/v1/items/x", params={"page": "x"}, headers={"api-key": "x"})

    assert {error["pointer"] for error in errors_of(response)} == {
        "#/number",
        "#/page",
        "#/api-key",
    }


def test_names_of_an_included_body_are_known() -> None:
    """Fields of a body in an included router are shown by name, in every inclusion."""
    app = new_app()
    router = APIRouter()

    @router.post("/")
    async def endpoint(order: Address) -> None: ...

    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b")

    for prefix in ("/a", "/b"):
        assert only(errors_of(TestClient(app).post(f"{prefix}/", json={})))["pointer"] == "#/street"


def test_names_of_a_mounted_app_are_known() -> None:
    """A mounted app shows the names of its own routes."""
    parent, child = new_app(), new_app()

    @child.post("/")
    async def endpoint(address: Address) -> None: ...

    router = APIRouter()
    router.mount("/child", child)
    parent.include_router(router)

    assert only(errors_of(TestClient(parent).post("/child/", json={})))["pointer"] == "#/street"


class Opaque:
    """A type without a JSON schema."""


class WithOpaque(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: int
    opaque: Annotated[Opaque, BeforeValidator(lambda _value: Opaque())]


def test_names_of_a_model_without_a_json_schema_are_known() -> None:
    """A field that OpenAPI can't describe does not hide the names of the others."""
    assert only(refused(WithOpaque, {"name": "x", "opaque": 1}))["pointer"] == "#/name"


def test_names_of_the_python_side_are_known() -> None:
    """Dataclasses, typed dicts and named tuples declare names like models do."""
    assert only(refused(Point, {}))["pointer"] == "#/x"
    assert only(refused(Document, {}))["pointer"] == "#/title"
    assert only(refused(Pair, {"left": 1}))["pointer"] == "#/right"


def test_names_like_pydantics_own_are_known() -> None:
    """Fields called like the members of a core schema are names like any other."""
    words = [
        "type",
        "metadata",
        "default",
        "fields",
        "serialization",
        "validation_alias",
        "schema_",
    ]
    members: dict[str, Any] = {
        word: create_model(f"Model_{word}", **{f"in_{word}": (int, ...)})  # type: ignore[call-overload]
        for word in words
    }

    errors = refused(create_model("Awkward", **members), {word: {} for word in words})

    assert [error["pointer"] for error in errors] == [f"#/{word}/in_{word}" for word in words]


# FastAPI builds the model with metadata that Pydantic has no use for, and only hides that early.
@pytest.mark.filterwarnings("ignore:The 'alias' attribute with value 'body'")
def test_names_of_a_model_that_is_built_late_are_known() -> None:
    """A model that Pydantic completes at its first use has its names like any other."""

    class Late(BaseModel):
        model_config = ConfigDict(defer_build=True)
        inner: "LateInner"

    class LateInner(BaseModel):
        model_config = ConfigDict(defer_build=True)
        number: int

    Late.model_rebuild()

    assert only(refused(Late, {"inner": {}}))["pointer"] == "#/inner/number"


def test_every_alias_of_a_parameter_is_known() -> None:
    """A parameter that may be sent under several names is pointed at by the one that was."""
    app = new_app()

    @app.get("/")
    async def endpoint(
        number: Annotated[int, Query(validation_alias=AliasChoices("first", "second"))],
    ) -> None: ...

    client = TestClient(app)

    assert only(errors_of(client.get("/?second=x")))["pointer"] == "#/second"
    assert only(errors_of(client.get("/")))["pointer"] == "#/first"


def test_type_that_only_its_validators_know() -> None:
    """A body of a class that Pydantic knows nothing of is refused like any other."""

    def refuse(_value: Any) -> Opaque:
        raise ValueError("is never right")

    error = only(refused(Annotated[Opaque, PlainValidator(refuse)], {"a": 1}))

    assert (error["pointer"], error["detail"]) == ("#", "is never right")


def test_requests_side_by_side_do_not_mix() -> None:
    """Two routes with fields of their own show their own names only."""
    app = new_app()

    @app.post("/address")
    async def address(body: Address) -> None: ...

    @app.post("/extra")
    async def extra(body: Strict) -> None: ...

    client = TestClient(app)
    for _ in range(3):
        assert only(errors_of(client.post("/address", json={})))["pointer"] == "#/street"
        assert only(errors_of(client.post("/extra", json={"street": 1})))["pointer"] == "#/*"
