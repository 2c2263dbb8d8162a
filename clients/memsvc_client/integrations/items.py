"""LangGraph's items as memsvc's documents, and its filters and namespace patterns.

An item is one document: its id a digest of namespace and key, its text what is to be encoded, and
in its metadata namespace, key and the value as JSON. Knows no calls.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from memsvc_client.integrations.shared import missing, quoted
from memsvc_client.resources import Document, NewDocument, Scalar

try:
    from langgraph.store.base import Item, MatchCondition, PutOp, SearchItem, get_text_at_path
except ImportError as error:
    raise missing("langgraph", error) from error

NAMESPACE: Final = "lg_namespace"
KEY: Final = "lg_key"
VALUE: Final = "lg_value"
INDEXED: Final = "lg_indexed"
TTL: Final = "lg_ttl"
# Of the 16 KiB that metadata may have; the rest is for namespace and key. A larger value is the
# document's text instead.
VALUE_BYTES: Final = 12 << 10

_ORDER: dict[str, Callable[[float, float], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def document_id(namespace: Sequence[str], key: str) -> str:
    """The document of an item: the same for the same namespace and key."""
    named = json.dumps([list(namespace), key]).encode()
    return f"lg-{hashlib.sha256(named).hexdigest()[:40]}"


def path(namespace: Sequence[str]) -> str:
    """A namespace as one string; that of a prefix is a prefix of it."""
    return "".join(label.replace("%", "%25").replace("/", "%2F") + "/" for label in namespace)


def labels(path: str) -> tuple[str, ...]:
    """The namespace of a `path`."""
    found = path.split("/")[:-1]
    return tuple(one.replace("%2F", "/").replace("%25", "%") for one in found)


def within(prefix: Sequence[str]) -> str:
    """The filter for all items whose namespace begins so."""
    first = path(prefix)
    field = f"metadata.{NAMESPACE}"
    if not first:
        return f'{field} >= ""'
    # "0" is the character after "/", so between them is whatever begins with `first`.
    return f"{field} >= {quoted(first)} AND {field} < {quoted(first[:-1] + '0')}"


def expiry(ttl: float | None) -> datetime | None:
    """When an item is gone that lives `ttl` minutes from now."""
    return None if ttl is None else datetime.now(UTC) + timedelta(minutes=ttl)


def to_document(op: PutOp, fields: Sequence[str] | None) -> NewDocument:
    """An item to put. `fields`: what is encoded where the op does not say, None for all of it.

    Raises TypeError for a value that is no JSON.
    """
    assert op.value is not None
    value = json.dumps(dict(op.value), ensure_ascii=False)
    text = _text(op, fields)
    metadata: dict[str, Scalar] = {
        NAMESPACE: path(op.namespace),
        KEY: op.key,
        INDEXED: bool(text),
    }
    if op.ttl is not None:
        metadata[TTL] = op.ttl
    if len(value.encode()) <= VALUE_BYTES:
        metadata[VALUE] = value
    else:
        text = value
    identity = document_id(op.namespace, op.key)
    return NewDocument(text or value, "", identity, metadata, expire_time=expiry(op.ttl))


def _text(op: PutOp, fields: Sequence[str] | None) -> str:
    """What is encoded of a value; empty if there is nothing to encode."""
    assert op.value is not None
    if op.index is False:
        return ""
    chosen = fields if op.index is None else op.index
    if chosen is None:
        lines = list(_lines(dict(op.value), ""))
    else:
        lines = [text for field in chosen for text in get_text_at_path(op.value, field)]
    return "\n".join(lines).replace("\0", " ").strip()


def _lines(value: Any, name: str) -> Iterator[str]:
    """`name: text` for each text, number and truth in a value."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from _lines(inner, f"{name} {key}".lstrip())
        case list() | tuple():
            for inner in value:
                yield from _lines(inner, name)
        case None:
            pass
        case _:
            yield f"{name}: {value}"


def namespace_of(document: Document) -> tuple[str, ...]:
    """The namespace of an item's document."""
    return labels(str(document.metadata[NAMESPACE]))


def has_value(document: Document) -> bool:
    """Whether its value can be read without its text."""
    return VALUE in document.metadata


def value_of(document: Document) -> dict[str, Any]:
    """The value; of a large one only if the document has its text."""
    value: dict[str, Any] = json.loads(str(document.metadata.get(VALUE, document.text)))
    return value


def to_item(document: Document) -> Item:
    """A document as `get` returns it."""
    return Item(**_fields(document))


def to_search_item(document: Document, score: float | None) -> SearchItem:
    """A document as `search` returns it."""
    return SearchItem(**_fields(document), score=score)


def _fields(document: Document) -> dict[str, Any]:
    return {
        "value": value_of(document),
        "key": str(document.metadata[KEY]),
        "namespace": namespace_of(document),
        "created_at": document.create_time,
        "updated_at": document.update_time,
    }


def matches(found: Any, wanted: Any) -> bool:
    """Whether a value has what a filter wants. Raises ValueError for an unknown operator."""
    if isinstance(wanted, Mapping):
        if any(key.startswith("$") for key in wanted):
            return all(_compared(found, symbol, operand) for symbol, operand in wanted.items())
        return isinstance(found, Mapping) and all(
            matches(found.get(key), inner) for key, inner in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(matches(one, inner) for one, inner in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _compared(found: Any, symbol: str, operand: Any) -> bool:
    """What is missing or no number is in no order to anything."""
    if symbol in ("$eq", "$ne"):
        return bool(found == operand) == (symbol == "$eq")
    if symbol not in _ORDER:
        raise ValueError(f"{symbol} is no operator; there are $eq, $ne, {', '.join(_ORDER)}")
    try:
        return _ORDER[symbol](float(found), float(operand))
    except (TypeError, ValueError):
        return False


def namespace_matches(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends as a pattern says; `*` stands for any one label."""
    pattern = tuple(condition.path)
    if len(namespace) < len(pattern):
        return False
    if condition.match_type == "prefix":
        part = namespace[: len(pattern)]
    elif condition.match_type == "suffix":
        part = namespace[len(namespace) - len(pattern) :]
    else:
        raise ValueError(f"{condition.match_type} is neither prefix nor suffix")
    return all(want in ("*", label) for label, want in zip(part, pattern, strict=True))
