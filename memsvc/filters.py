"""The filter language of List, Recall, Ask and BuildContext, compiled to a predicate on documents.

    metadata.team = "red" AND (event_time >= "2024-01-01T00:00:00Z" OR NOT state IN (FAILED))

Knows documents' fields and nothing of how they are stored or searched; docs/filters.md is the
user's description. A field that a document lacks makes every comparison false except `!=`, and
so does a value of another type: `=` and `!=` are exact opposites.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args
from memsvc_storage import Document

MAX_CHARACTERS = 4096
MAX_DEPTH = 32
TIME_FIELDS = ("event_time", "create_time", "update_time", "expire_time")
FIELDS = ("id", "title", "state", *TIME_FIELDS, "metadata.KEY")
STATES = ("PENDING", "READY", "FAILED")

Value = str | int | float | bool | datetime
Predicate = Callable[[Document], bool]

_GRAMMAR = r"""
?start: either
?either: both ("OR" both)*      -> any_of
?both: negated ("AND" negated)* -> all_of
?negated: "NOT" negated         -> negate
        | "(" either ")"
        | comparison
comparison: field OPERATOR value         -> compare
          | field "IN" "(" value ("," value)* ")" -> one_of
field: WORD ("." (WORD | STRING))?
value: STRING | NUMBER | WORD

OPERATOR: "!=" | "<=" | ">=" | "=" | "<" | ">"
STRING: /"(\\.|[^"\\])*"/ | /'(\\.|[^'\\])*'/
NUMBER: /[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?/
WORD: /[^\W\d][\w-]*/
%ignore /\s+/
"""

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHAPE_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[-+]\d\d:\d\d)")


class FilterError(ValueError):
    """A filter that cannot be used. `position`: 0-based character where it goes wrong."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.position = position


@dataclass(frozen=True)
class _Node:
    matches: Predicate
    depth: int = 1


@dataclass(frozen=True)
class _Field:
    """Where a comparison's left side is read. `kind`: "time", "state", "text" or "scalar"."""

    name: str
    kind: str
    read: Callable[[Document], Value | None]


@dataclass(frozen=True)
class _Literal:
    value: str | int | float | bool
    bare: bool
    position: int


def compile_filter(text: str) -> Predicate | None:
    """Compile a filter; blank gives None (every document). Raises FilterError."""
    if not text.strip():
        return None
    if len(text) > MAX_CHARACTERS:
        raise FilterError(f"a filter has at most {MAX_CHARACTERS} characters", MAX_CHARACTERS)
    try:
        node = _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(text, error) from None
    assert isinstance(node, _Node)
    return node.matches


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time (with its offset) as UTC. Raises ValueError."""
    if not _SHAPE_RFC3339.fullmatch(text):
        raise ValueError(f"{text[:64]!r} is not an RFC 3339 time such as 2024-01-31T12:00:00Z")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def _syntax_error(text: str, error: UnexpectedInput) -> FilterError:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return FilterError("syntax error: the filter ends too early", len(text))
    position = max(error.pos_in_stream or 0, 0)
    found = text[position : position + 12]
    return FilterError(f"syntax error: unexpected {found!r}", position)


@v_args(inline=True)
class _Compiler(Transformer[Token, object]):
    """Turns each grammar rule into a node while the parser runs (so depth costs no recursion)."""

    def any_of(self, *nodes: _Node) -> _Node:
        if len(nodes) == 1:
            return nodes[0]
        parts = [node.matches for node in nodes]
        return _joined(nodes, lambda document: any(part(document) for part in parts))

    def all_of(self, *nodes: _Node) -> _Node:
        if len(nodes) == 1:
            return nodes[0]
        parts = [node.matches for node in nodes]
        return _joined(nodes, lambda document: all(part(document) for part in parts))

    def negate(self, node: _Node) -> _Node:
        return _joined([node], lambda document: not node.matches(document))

    def compare(self, field: _Field, symbol: Token, literal: _Literal) -> _Node:
        return _Node(_comparison(field, str(symbol), _value_for(field, literal)))

    def one_of(self, field: _Field, *literals: _Literal) -> _Node:
        wanted = [_comparison(field, "=", _value_for(field, item)) for item in literals]
        return _Node(lambda document: any(equal(document) for equal in wanted))

    def field(self, name: Token, key: Token | None = None) -> _Field:
        known = f"known fields: {', '.join(FIELDS)}"
        position = name.start_pos or 0
        full = str(name) if key is None else f"{name}.{key}"
        if name == "metadata":
            if key is None:
                raise FilterError(f"metadata needs a key, as in metadata.team; {known}", position)
            return _metadata_field(full, _unquoted(key) if key.type == "STRING" else str(key))
        if key is not None or full not in _FIELDS:
            raise FilterError(f"unknown field {full[:64]!r}; {known}", position)
        return _FIELDS[full]

    def value(self, token: Token) -> _Literal:
        position = token.start_pos or 0
        if token.type == "STRING":
            return _Literal(_unquoted(token), False, position)
        if token.type == "NUMBER":
            return _Literal(_number(token), False, position)
        if token in ("true", "false"):
            return _Literal(token == "true", False, position)
        return _Literal(str(token), True, position)


def _joined(nodes: Sequence[_Node], matches: Predicate) -> _Node:
    depth = 1 + max(node.depth for node in nodes)
    if depth > MAX_DEPTH:
        raise FilterError(f"nested more than {MAX_DEPTH} deep", 0)
    return _Node(matches, depth)


def _unquoted(token: Token) -> str:
    return re.sub(r"\\(.)", r"\1", str(token)[1:-1], flags=re.DOTALL)


def _number(token: Token) -> int | float:
    if re.fullmatch(r"[-+]?\d+", token):
        return int(token)
    number = float(token)
    if not math.isfinite(number):
        raise FilterError(f"{token} is too large a number", token.start_pos or 0)
    return number


def _metadata_field(name: str, key: str) -> _Field:
    return _Field(name, "scalar", lambda document: document.metadata.get(key))


def _attribute(name: str, attribute: str, kind: str) -> _Field:
    read: Callable[[Document], Value | None] = operator.attrgetter(attribute)
    return _Field(name, kind, read)


def _value_for(field: _Field, literal: _Literal) -> Value:
    """Check a literal against what its field can hold. Raises FilterError."""
    value = literal.value
    if field.kind == "state":
        if value not in STATES:
            raise FilterError(f"state is one of {', '.join(STATES)}", literal.position)
        return value
    if literal.bare:
        raise FilterError(f"{str(value)[:64]!r} needs quotes", literal.position)
    if field.kind == "scalar":
        return value
    if not isinstance(value, str):
        raise FilterError(f"{field.name} is compared with a quoted string", literal.position)
    if field.kind == "text":
        return value
    try:
        return parse_time(value)
    except ValueError as error:
        raise FilterError(str(error), literal.position) from None


def _comparison(field: _Field, symbol: str, wanted: Value) -> Predicate:
    def equal(document: Document) -> bool:
        found = field.read(document)
        return _comparable(found, wanted) and found == wanted

    if symbol == "=":
        return equal
    if symbol == "!=":
        return lambda document: not equal(document)
    order = _ORDER[symbol]

    def ordered(document: Document) -> bool:
        found = field.read(document)
        return _comparable(found, wanted) and order(found, wanted)

    return ordered


def _comparable(found: Value | None, wanted: Value) -> bool:
    # bool is an int in Python, but `metadata.done = 1` must not match true.
    if isinstance(found, bool) or isinstance(wanted, bool):
        return isinstance(found, bool) and isinstance(wanted, bool)
    for kind in (str, datetime):
        if isinstance(found, kind) or isinstance(wanted, kind):
            return isinstance(found, kind) and isinstance(wanted, kind)
    return found is not None


_FIELDS = {
    "id": _attribute("id", "document_id", "text"),
    "title": _attribute("title", "title", "text"),
    "state": _attribute("state", "state", "state"),
    **{name: _attribute(name, name, "time") for name in TIME_FIELDS},
}
_PARSER = Lark(_GRAMMAR, parser="lalr", transformer=_Compiler())
