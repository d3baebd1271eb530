"""OpenAPI says of errors what is sent."""

from copy import deepcopy
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from starlette.testclient import TestClient

from sturdyapi.app import SturdyAPI, create_app
from sturdyapi.exceptions import UnavailableError
from sturdyapi.problems import PROBLEM_MEDIA_TYPE, describe_problems
from sturdyapi.settings import BaseSettings

from .support import Address, new_app


def described(app: FastAPI) -> dict[str, Any]:
    """Return the document of a plain FastAPI app, with our errors in it."""
    return describe_problems(app.openapi())


def schema_names(document: dict[str, Any]) -> set[str]:
    """Return the names of all schemas among the components."""
    return set(document.get("components", {}).get("schemas", {}))


def schema_of(document: dict[str, Any], path: str, method: str, status: int) -> Any:
    """Return the schema of one documented error, which must be a problem document."""
    response = document["paths"][path][method]["responses"][str(status)]
    assert list(response["content"]) == [PROBLEM_MEDIA_TYPE]
    return response["content"][PROBLEM_MEDIA_TYPE]["schema"]


def check(document: dict[str, Any], path: str, method: str, response: Any) -> None:
    """Fail if a response is not what the document says of its status."""
    schema = schema_of(document, path, method, response.status_code)
    rooted = {**schema, "components": document["components"]}
    Draft202012Validator.check_schema(rooted)
    Draft202012Validator(rooted).validate(response.json())
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def make_service() -> SturdyAPI:
    """Return an app that can fail in every documented way."""
    app = create_app(BaseSettings(environment="testing"), logs=False)

    @app.put("/items/{number}", responses={code: {"description": "no"} for code in (404, 409, 503)})
    async def endpoint(number: int, address: Address, key: Annotated[int, Header()] = 0) -> None:
        if number == 1:
            raise HTTPException(404, "no such item")
        if number == 2:
            raise HTTPException(409, {"taken_by": 7, "history": [1, None]})
        if number == 3:
            raise UnavailableError("database")

    return app


@pytest.mark.parametrize(
    ("number", "status"), [("1", 404), ("2", 409), ("3", 503), ("x", 422), ("9999-", 422)]
)
def test_what_is_sent_is_what_is_documented(number: str, status: int) -> None:
    """Every error of an app is valid against its own OpenAPI document."""
    app = make_service()

    response = TestClient(app).put(f"/items/{number}", json={"street": "x"})

    assert response.status_code == status
    check(app.openapi(), "/items/{number}", "put", response)


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'{"street": 1, "lines": ["a", 2]}'])
def test_every_422_is_what_is_documented(body: bytes) -> None:
    """A 422 is valid against the OpenAPI document, whatever is wrong with the body."""
    app = make_service()

    response = TestClient(app).put(
        "/items/5", content=body, headers={"Content-Type": "application/json", "key": "x"}
    )

    assert response.status_code == 422
    check(app.openapi(), "/items/{number}", "put", response)


def test_schema_refuses_fastapis_own_body() -> None:
    """The documented 422 is another than FastAPI's: its body is not valid against it."""
    document = make_service().openapi()
    schema = schema_of(document, "/items/{number}", "put", 422)
    stock_body = {"detail": [{"loc": ["body"], "msg": "Field required", "type": "missing"}]}

    validator = Draft202012Validator({**schema, "components": document["components"]})

    assert not validator.is_valid(stock_body)


def test_default_422_becomes_a_validation_problem() -> None:
    """FastAPI's default 422 becomes a `ValidationProblem`, and its schemas are gone."""
    app = new_app()

    @app.post("/")
    async def endpoint(address: Address) -> None: ...

    document = described(app)

    assert schema_of(document, "/", "post", 422) == {
        "$ref": "#/components/schemas/ValidationProblem"
    }
    assert schema_names(document) == {"Address", "ValidationProblem"}
    assert "HTTPValidationError" not in str(document)


def test_error_without_a_body_becomes_a_problem() -> None:
    """An error status that is declared without a body is documented as a `Problem`."""
    app = new_app()

    @app.get("/", responses={404: {"description": "Gone"}, "5XX": {"description": "Broken"}})
    async def endpoint() -> None: ...

    document = described(app)

    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    responses = document["paths"]["/"]["get"]["responses"]
    assert responses["404"] == {"description": "Gone", "content": {PROBLEM_MEDIA_TYPE: problem}}
    assert responses["5XX"] == {"description": "Broken", "content": {PROBLEM_MEDIA_TYPE: problem}}
    assert schema_names(document) == {"Problem"}


class Fault(BaseModel):
    reason: str


def test_users_own_descriptions_stay() -> None:
    """Error bodies that the user described, and successes, stay as they are."""
    app = new_app()
    own_text = {"description": "x", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.post(
        "/",
        status_code=201,
        responses={
            204: {"description": "Nothing"},
            422: {"model": Fault},
            404: own_text,
            409: {"$ref": "#/components/responses/Conflict"},
            "default": {"description": "Else"},
        },
    )
    async def endpoint(address: Address) -> None: ...

    stock = deepcopy(app.openapi())
    document = described(app)

    assert document["paths"] == stock["paths"]
    assert schema_names(document) >= {"Fault", "Address"}
    assert "Problem" not in schema_names(document)


def test_users_stock_422_keeps_its_schema() -> None:
    """FastAPI's schemas stay as long as something refers to them."""
    app = new_app()
    stock = {"$ref": "#/components/schemas/HTTPValidationError"}

    @app.post("/", responses={400: {"content": {"text/json": {"schema": stock}}}})
    async def endpoint(address: Address) -> None: ...

    document = described(app)

    stock_names = {"HTTPValidationError", "ValidationError"}
    assert schema_names(document) == {"Address", "ValidationProblem", *stock_names}


def test_names_that_are_taken_are_left_to_the_user() -> None:
    """Models of the user called `Problem` and `ValidationProblem` keep their names."""
    app = new_app()

    class Problem(BaseModel):
        mine: int

    class ValidationProblem(BaseModel):
        mine: Problem

    @app.post("/", responses={404: {"description": "Gone"}})
    async def endpoint(body: ValidationProblem) -> Problem:
        return body.mine

    stock = deepcopy(app.openapi())
    document = described(app)

    schemas = document["components"]["schemas"]
    assert schemas["Problem"] == stock["components"]["schemas"]["Problem"]
    assert schemas["ValidationProblem"] == stock["components"]["schemas"]["ValidationProblem"]
    assert schema_of(document, "/", "post", 404) == {"$ref": "#/components/schemas/Problem_"}
    assert schema_of(document, "/", "post", 422) == {
        "$ref": "#/components/schemas/ValidationProblem_"
    }
    assert schemas["Problem_"]["required"] == ["type", "title", "status"]


def test_schema_that_the_user_refers_to_stays() -> None:
    """A model of the user that is called like one of FastAPI's is still found by its references."""
    app = new_app()

    class ValidationError(BaseModel):
        mine: int

    @app.post("/")
    async def endpoint(body: ValidationError) -> None: ...

    assert schema_names(described(app)) == {"ValidationError", "ValidationProblem"}


def test_webhooks_and_callbacks_are_described_too() -> None:
    """Webhooks and callbacks, at any depth, have no other 422 than the paths have."""
    app = new_app()
    inner, outer = APIRouter(), APIRouter()

    @inner.post("{$request.body#/inner}")
    async def on_inner(address: Address) -> None: ...

    @outer.post("{$request.body#/outer}", callbacks=inner.routes)
    async def on_outer(address: Address) -> None: ...

    @app.post("/", callbacks=outer.routes)
    async def endpoint(address: Address) -> None: ...

    @app.webhooks.post("moved")
    async def moved(address: Address) -> None: ...

    document = described(app)

    assert str(document).count("#/components/schemas/ValidationProblem") == 4
    assert "HTTPValidationError" not in str(document)


def test_references_in_the_place_of_objects_stay() -> None:
    """A path, a callback or a response that is a reference stays one."""
    document: dict[str, Any] = {
        "paths": {
            "/a": {"$ref": "#/components/pathItems/a"},
            "/b": {
                "summary": "b",
                "parameters": [{"name": "x", "in": "query"}],
                "get": {
                    "callbacks": {"done": {"$ref": "#/components/callbacks/done"}},
                    "responses": {"404": {"$ref": "#/components/responses/missing"}},
                },
            },
        }
    }

    assert describe_problems(document) == document


def test_document_without_errors_stays() -> None:
    """An app without errors gets no components."""
    app = new_app()

    @app.get("/")
    async def endpoint() -> None: ...

    assert described(app) == app.openapi()


def test_stock_document_is_not_changed() -> None:
    """The document that is described stays as FastAPI made it, and so do our own schemas."""
    app = new_app()

    @app.post("/", responses={404: {"description": "Gone"}})
    async def endpoint(address: Address) -> None: ...

    stock = deepcopy(app.openapi())

    first = described(app)
    first["components"]["schemas"]["Problem"]["properties"].clear()
    first["components"]["schemas"]["ValidationProblem"]["properties"]["errors"].clear()

    assert app.openapi() == stock
    assert described(app)["components"]["schemas"]["Problem"]["properties"]
    assert described(app)["components"]["schemas"]["ValidationProblem"]["properties"]["errors"]


def test_described_document_stays_when_it_is_described_again() -> None:
    """Describing a document a second time changes nothing."""
    document = make_service().openapi()

    assert describe_problems(document) == document


def test_document_is_made_once() -> None:
    """`app.openapi()` returns the same object until FastAPI makes a new one."""
    app = make_service()
    first = app.openapi()

    assert app.openapi() is first
    assert app.openapi_schema is first

    app.openapi_schema = None
    again = app.openapi()

    assert again is not first
    assert again == first


def test_users_own_document_is_described() -> None:
    """A document that the user put in the place of FastAPI's is described as well."""
    app = make_service()
    app.openapi()
    app.openapi_schema = {
        "paths": {"/": {"get": {"responses": {"418": {"description": "short and stout"}}}}}
    }

    assert schema_of(app.openapi(), "/", "get", 418) == {"$ref": "#/components/schemas/Problem"}


def test_errors_of_fastapi_are_described_by_fastapi() -> None:
    """`errors="fastapi"` leaves the document as FastAPI makes it."""
    ours = create_app(BaseSettings(environment="testing"), logs=False, errors="fastapi")
    stock = FastAPI()
    for app in (ours, stock):
        app.post("/", responses={404: {"description": "Gone"}})(takes_an_address)

    assert ours.openapi() == stock.openapi()


async def takes_an_address(address: Address) -> None:
    """Take an address, as an endpoint of two apps."""


def test_dependencies_bodies_are_described() -> None:
    """An endpoint whose only parameters are those of its dependencies has a documented 422."""
    app = new_app()

    async def dependency(count: Annotated[int, Body(embed=True)]) -> None: ...

    @app.post("/", dependencies=[Depends(dependency)])
    async def endpoint() -> None: ...

    document = described(app)

    check(document, "/", "post", TestClient(app).post("/", json={}))
