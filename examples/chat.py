"""A chat agent that remembers, across sessions and restarts.

    memsvc serve                                      (in another terminal)
    python -m examples.chat --session monday          (type; an empty line ends it)
    python -m examples.chat --session tuesday         (asks what was said on Monday)

Answers come from memsvc's own model, which points at what was said. With OPENAI_BASE_URL (and, if
needed, OPENAI_API_KEY and OPENAI_MODEL) they come from any OpenAI-compatible language model, which
is given a block of context: what memory holds for the last turn, then the last turns themselves.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request

from memsvc_client import MemoryClient

from examples.connecting import opened, parser

_CONTEXT_TOKENS = 1500
_SYSTEM = "You are a helpful assistant. This is what you remember:\n\n"
_UNKNOWN = "I do not know that yet."


def main() -> None:
    """Read lines, answer each, remember both."""
    options = parser(__doc__, "chat")
    options.add_argument("--session", default="", help="by default a new one")
    given = options.parse_args()
    with MemoryClient(given.server) as client:
        opened(client, given.bank)
        session = client.session(given.bank, given.session, agent="chat")
        print(f"session {session.id}", flush=True)
        for line in map(str.strip, sys.stdin):
            if not line:
                break
            # Asked before it is appended: a question must not find itself.
            known = pointed(client, given.bank, line) if line.endswith("?") else "Noted."
            session.append("user", line, wait=True)
            if "OPENAI_BASE_URL" in os.environ:
                known = generated(session.context(_CONTEXT_TOKENS).text, line)
            session.append("assistant", known, wait=True)
            print(f"> {line}\n{known}", flush=True)


def pointed(client: MemoryClient, bank: str, question: str) -> str:
    """What users said that answers the question, word for word, and when."""
    told = client.ask_answer(bank, question, filter='metadata.role = "user"')
    if not told.found:
        return _UNKNOWN
    source = told.citations[0]
    return f"{told.text} ({source.title})"


def generated(context: str, line: str) -> str:
    """What a language model makes of the context."""
    body = {
        "model": os.environ.get("OPENAI_MODEL", "default"),
        "messages": [
            {"role": "system", "content": _SYSTEM + context},
            {"role": "user", "content": line},
        ],
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"].rstrip("/") + "/chat/completions",
        json.dumps(body).encode(),
        {
            "content-type": "application/json",
            "authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    return str(answer["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main()
