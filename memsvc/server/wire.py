"""Requests that are not valid messages: read them without raising, and say which field is at fault.

Protobuf says only "error parsing message", and gRPC would call that the server's INTERNAL error.
So a request that does not parse becomes a `Malformed`, and the wire bytes are walked to find the
string that is not UTF-8. Knows the wire format, no method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 100  # protobuf's own limit of nesting


@dataclass(frozen=True)
class Malformed:
    """A request that did not parse. `field` is a path such as `documents[0].text`."""

    field: str
    problem: str


def tolerant(message_class: type[Message]) -> Callable[[bytes], Message | Malformed]:
    """A deserializer that returns Malformed where protobuf's own raises."""

    def deserialize(body: bytes) -> Message | Malformed:
        try:
            return message_class.FromString(body)
        except DecodeError:
            field = find_bad_string(body, cast(Descriptor, message_class.DESCRIPTOR))
            if field is not None:
                return Malformed(field, "is not valid UTF-8")
            return Malformed("request", f"is not a {message_class.DESCRIPTOR.full_name} message")

    return deserialize


def find_bad_string(body: bytes, descriptor: Descriptor) -> str | None:
    """The path of the first string field that is not UTF-8; None if there is none to be found."""
    try:
        return _search(memoryview(body), descriptor, 0)
    except (IndexError, ValueError):  # cut short: not even the wire format holds
        return None


def _search(body: memoryview, descriptor: Descriptor, depth: int) -> str | None:
    seen: dict[int, int] = {}
    for number, value in _delimited(body):
        field = descriptor.fields_by_number.get(number)
        if field is None:
            continue
        index = seen.get(number, 0)
        seen[number] = index + 1
        # Not `label` or `is_repeated`: the one is gone, the other new, in protobuf 5 to 7.
        repeated = isinstance(field.default_value, list)
        name = f"{field.name}[{index}]" if repeated else field.name
        if field.type == FieldDescriptor.TYPE_STRING and not _is_utf8(value):
            return name
        if field.type == FieldDescriptor.TYPE_MESSAGE and depth < _MAX_DEPTH:
            assert field.message_type is not None
            inner = _search(value, field.message_type, depth + 1)
            if inner is not None:
                return f"{name}.{inner}"
    return None


def _delimited(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message: number and content. Raises on a cut one."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(body, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _DELIMITED:
            size, at = _varint(body, at)
            if at + size > len(body):
                raise ValueError("cut short")
            yield tag >> 3, body[at : at + size]
            at += size
        else:
            raise ValueError("not a wire type of proto3")


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a varint of more than ten bytes")


def _is_utf8(value: memoryview) -> bool:
    try:
        str(value, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
