"""What goes over the wire: how Decimals, datetimes, ids, rows and documents are taken and sent.

The schema in OpenAPI says exactly what is sent. Nothing here changes a class that is not ours.
"""

from __future__ import annotations

from .annotations import ObjectIdRules, WireRules, needs_rules, with_known_types
from .leaves import object_id_schema, ruled_schema
from .rules import Exact, Instant, Rule, loaded_class, object_id_class
from .schema import DecimalForm, apply_rules, has_rules, model_rules
from .values import Encoder, encode, plain

__all__ = [
    "DecimalForm",
    "Encoder",
    "Exact",
    "Instant",
    "ObjectIdRules",
    "Rule",
    "WireRules",
    "apply_rules",
    "encode",
    "has_rules",
    "loaded_class",
    "model_rules",
    "needs_rules",
    "object_id_class",
    "object_id_schema",
    "plain",
    "ruled_schema",
    "with_known_types",
]
