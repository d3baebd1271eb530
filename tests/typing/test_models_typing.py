"""What type checkers know of models and wire types."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import assert_type

import bson
import pytest

from sturdyapi import BaseModel, Money, ObjectId, UtcDatetime

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Invoice(BaseModel, decimal_as="string", frozen=True):
    invoice_id: ObjectId
    total: Money
    net: Decimal
    paid_at: UtcDatetime | None = None


def test_fields_have_their_python_types() -> None:
    """A type checker sees the Python types behind the wire types."""
    invoice = Invoice(invoice_id=ObjectId(), total=Decimal(1), net=Decimal(1), paid_at=NOON)
    assert_type(invoice.invoice_id, bson.ObjectId)
    assert_type(invoice.total, Decimal)
    assert_type(invoice.net, Decimal)
    assert_type(invoice.paid_at, datetime | None)
    assert isinstance(invoice.invoice_id, bson.ObjectId)


def test_making_and_copying_a_model_keeps_its_type() -> None:
    """The ways to make a model return the class that they were called on."""
    invoice = Invoice.model_construct(invoice_id=ObjectId(), total=Decimal(1), net=Decimal(1))
    assert_type(invoice, Invoice)
    assert_type(invoice.model_copy(update={"total": Decimal(2)}), Invoice)
    assert_type(Invoice.model_validate(invoice), Invoice)
    assert_type(invoice.model_dump_json(), str)


def test_an_unknown_attribute_is_an_error_to_type_checkers() -> None:
    """Setting an attribute that a model does not have is found by a type checker."""
    invoice = Invoice(invoice_id=ObjectId(), total=Decimal(1), net=Decimal(1))
    with pytest.raises(ValueError, match="unknown"):
        invoice.unknown = 1  # type: ignore[attr-defined]
