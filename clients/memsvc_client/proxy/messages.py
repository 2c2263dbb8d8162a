"""Chat completions as memory sees them: what is new in a request, and what an answer says.

Knows the JSON of the protocol and distrusts its shape; nothing of memsvc's verbs or HTTP.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memsvc_client.session_resources import NewTurn


@dataclass(frozen=True)
class Said:
    """What a request carries. `texts`: of all its messages; `new`: what the user said after the
    last answer; `question`: what the user said last ("": nothing); `id`: of all that was said."""

    texts: tuple[str, ...]
    new: tuple[NewTurn, ...]
    question: str
    id: str
    key: str

    def answer(self, text: str) -> NewTurn:
        """The turn of an answer. With a key there is one for each request, whatever it says."""
        said = "" if self.key else text
        return NewTurn("assistant", text, turn_id=_digest(self.id, "assistant", said))


def parsed(body: bytes) -> dict[str, Any] | None:
    """A request as JSON; None where it is none that has messages."""
    asked = _json(body)
    if not isinstance(asked, dict):
        return None
    messages = asked.get("messages")
    fits = isinstance(messages, list) and all(isinstance(one, dict) for one in messages)
    return asked if fits else None


def said(messages: Sequence[Mapping[str, Any]], key: str) -> Said:
    """What `messages` say. A turn's id comes from all that was said up to it and from the `key` of
    the request, so that a request sent again appends nothing."""
    spoken, question = _digest(key), ""
    new: list[NewTurn] = []
    for message in messages:
        role, text = message.get("role"), _text(message)
        if role == "assistant":
            new.clear()
        if role in ("user", "assistant") and text.strip():
            spoken = _digest(spoken, role, text)
            if role == "user":
                question = text
                new.append(NewTurn(role, text, turn_id=spoken))
    texts = tuple(filter(None, map(_text, messages)))
    return Said(texts, tuple(new), question, spoken, key)


def answer_in(body: bytes, streamed: bool) -> str:
    """The text of the first choice; "" where there is none, or a stream has not come to its end."""
    if not streamed:
        return _text(_part(_choice(_json(body)), "message"))
    text, ended = "", False
    for event in _events(body):
        choice = _choice(event)
        text += _text(_part(choice, "delta"))
        ended = ended or choice.get("finish_reason") is not None
    return text if ended else ""


def _events(body: bytes) -> Iterator[object]:
    for line in body.split(b"\n"):
        if line.startswith(b"data:"):
            yield _json(line.removeprefix(b"data:"))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _choice(answer: object) -> Mapping[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, dict) and one.get("index", 0) == 0:
            return one
    return {}


def _part(choice: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = choice.get(name)
    return part if isinstance(part, dict) else {}


def _text(message: Mapping[str, Any]) -> str:
    """What a message says in words; of several parts those that are text."""
    content = message.get("content")
    if isinstance(content, list):
        parts = (one.get("text") for one in content if isinstance(one, dict))
        return "\n".join(one for one in parts if isinstance(one, str))
    return content if isinstance(content, str) else ""


def _digest(*parts: str) -> str:
    """An id as turns have them."""
    packed = json.dumps(parts).encode()
    return f"p-{hashlib.sha256(packed).hexdigest()[:40]}"
