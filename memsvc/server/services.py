"""What every servicer holds. Knows the engine, the page tokens and whether the server drains."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from memsvc.engine import Engine
from memsvc.errors import Reason, invalid
from memsvc.pagination import PageTokenError, PageTokens
from memsvc.retrieval import Retrieval
from memsvc.sessions.counting import Tokenizers
from memsvc.sessions.titles import TurnContext

_PAGE = 1000


@dataclass(frozen=True)
class Services:
    """The servicers' common ground; `draining` is set once the server is about to stop;
    `retrieval` has the indexes of the paths that questions can be compared on, and callers may name
    `retrieval_models` (None: any) for them; `turn_context` is what turns' titles tell, `tokenizers`
    count for other models."""

    engine: Engine
    tokens: PageTokens
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    retrieval: Retrieval = field(default_factory=lambda: Retrieval(None))
    retrieval_models: frozenset[str] | None = None
    turn_context: TurnContext = "neighboured"
    tokenizers: Tokenizers = field(default_factory=Tokenizers)

    @property
    def identity_digest(self) -> str:
        """The loaded model's identity; "" while it loads."""
        identity = self.engine.identity
        return identity.digest if identity else ""

    async def forget_deleted(self) -> None:
        """Drop what `retrieval` made of banks that are gone."""
        names: list[str] = []
        key: str | None = None
        while True:
            page = await self.engine.list_banks(_PAGE, key)
            names += [bank.name for bank in page.items]
            if (key := page.next_key) is None:
                break
        await asyncio.to_thread(self.retrieval.keep_only, names)

    def after_key(self, page_token: str, *binding: str) -> str | None:
        """The store's key in a page token. Raises ApiError naming `page_token`."""
        try:
            return self.tokens.read(page_token, *binding)
        except PageTokenError as error:
            raise invalid("page_token", str(error), Reason.INVALID_PAGE_TOKEN) from None
