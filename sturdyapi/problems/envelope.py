"""The problem document itself."""

from __future__ import annotations

import json
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from sturdyapi.context import current_request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROBLEM_MEDIA_TYPE", "problem_response"]

PROBLEM_MEDIA_TYPE = "application/problem+json"

_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Phrases of RFC 9110 where the standard library of Python 3.11 and 3.12 has older ones."""

_dump = partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def problem_response(
    status: int,
    *,
    detail: str | None = None,
    errors: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response for a problem document.

    Shape: `{"type": "about:blank", "title": str, "status": int, "detail": str, "errors": any,
    "requestId": str}`; `detail`, `errors` and `requestId` are left out when there is none.

    Args:
        status: HTTP status, 400 to 599; the title is its standard phrase.
        detail: What happened, for the client's developer. Left out when it repeats the title.
        errors: Machine-readable details, already JSON.
        headers: Sent along, such as `Retry-After`.

    Source:
        RFC 9457, https://www.rfc-editor.org/rfc/rfc9457
    """
    title = _phrase(status)
    document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail is not None and detail not in {title, _library_phrase(status)}:
        document["detail"] = detail
    if errors is not None:
        document["errors"] = errors
    if (request_id := current_request_id()) is not None:
        document["requestId"] = request_id
    return Response(
        _encoded(document), status_code=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE
    )


def _phrase(status: int) -> str:
    return _PHRASES.get(status) or _library_phrase(status)


def _library_phrase(status: int) -> str:
    """Return what an `HTTPException` without a detail carries as one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        text = _dump(document)
    except ValueError:
        # NaN and infinity have no form in JSON, and the problem must be told all the same.
        text = _dump(json.loads(json.dumps(document), parse_constant=lambda _constant: None))
    return text.encode(errors="replace")
