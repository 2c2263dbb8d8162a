"""Errors of memsvc in words that tell an agent what to do next. Knows no protocol and no verbs."""

from __future__ import annotations

from memsvc_client.errors import MemsvcError

_AGAIN = "Try the same call again in {seconds:.0f} s."
_BY_REASON = {
    "INVALID_FILTER": 'Correct the filter, for example: metadata.kind = "mail" AND event_time >= '
    '"2026-01-01T00:00:00Z". Fields: id, title, state, event_time, create_time, update_time, '
    "expire_time, metadata.KEY.",
    "TEXT_TOO_LARGE": "Split the text into parts of less than 1 MiB and remember each of them.",
    "DOCUMENT_NOT_FOUND": "Call `list` to see which documents there are.",
    "BANK_NOT_FOUND": "The bank was deleted. Tell the user: a restart of `memsvc mcp` makes it.",
    "QUOTA_EXCEEDED": "Memory is full. Ask the user whether to forget something or to raise the "
    "quota of the bank.",
    "API_KEY_REQUIRED": "Tell the user to set MEMSVC_API_KEY in the environment of `memsvc mcp`.",
    "MODEL_FAILED": "Tell the user: the server could not load its model; its log says why.",
}
_BY_CODE = {
    "INVALID_ARGUMENT": "Correct the arguments and call again.",
    "UNAVAILABLE": "Tell the user that no memsvc server answers, and that `memsvc serve` starts "
    "one; then try again.",
    "DEADLINE_EXCEEDED": "Try again once. If it happens again, tell the user that the server is "
    "too slow for the timeout of `memsvc mcp`.",
    "PERMISSION_DENIED": "Tell the user that the API key of `memsvc mcp` does not allow this.",
    "INTERNAL": "Tell the user: it is a fault of the server, whose log has the rest under the "
    "request id.",
}


def explain(error: MemsvcError) -> str:
    """Code and reason, what is wrong with which argument, and what to do; a line for each."""
    name = f"{error.code}/{error.reason}" if error.reason else error.code
    lines = [f"{name}: {error.message}"]
    lines += [f"{one.field}: {one.description}" for one in error.field_violations]
    lines.append(f"What to do: {advice(error)}")
    if error.request_id:
        lines.append(f"Request id: {error.request_id}")
    return "\n".join(lines)


def advice(error: MemsvcError) -> str:
    """What whoever called can do about it."""
    if error.reason in _BY_REASON:
        return _BY_REASON[error.reason]
    if error.reason and error.retryable:
        return _AGAIN.format(seconds=max(1.0, error.retry_after or 0.0))
    return _BY_CODE.get(error.code, "Tell the user what happened.")
