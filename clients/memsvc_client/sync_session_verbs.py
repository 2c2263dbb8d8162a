"""The blocking client's sessions. Knows no bytes and no channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from memsvc_client import session_calls
from memsvc_client.events import AskOptions, Recall, Recency
from memsvc_client.pagers import Pager
from memsvc_client.resources import Scalar
from memsvc_client.session_resources import (
    AppendResult,
    NewTurn,
    Scope,
    Session,
    SessionContext,
    Turn,
)
from memsvc_client.sync_verbs import MemoryVerbs


class SessionVerbs(MemoryVerbs):
    """SessionService. Sessions are named by id or by full resource name, and so are turns."""

    def create_session(
        self,
        bank: str,
        session: str = "",
        *,
        agent: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        expire_time: datetime | None = None,
        ttl: timedelta | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Session:
        """Make a session, gone after `ttl` or at `expire_time`; without `session` the server makes
        an id. Raises AlreadyExists, NotFound."""
        call = session_calls.create_session(
            bank, session, agent, metadata, expire_time, ttl, request_id
        )
        return self._run(call, timeout)

    def get_session(self, bank: str, session: str, *, timeout: float | None = None) -> Session:
        """One session as it stands. Raises NotFound."""
        return self._run(session_calls.get_session(bank, session), timeout)

    def list_sessions(
        self,
        bank: str,
        *,
        agent: str | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pager[Session]:
        """The sessions of a bank, or of one agent in it, oldest first. Raises NotFound on
        reading."""
        return Pager(
            lambda token: self._run(
                session_calls.list_sessions(bank, agent, page_size, token), timeout
            ),
            page_token,
        )

    def append_turns(
        self,
        bank: str,
        session: str,
        turns: NewTurn | tuple[str, str] | Iterable[NewTurn | tuple[str, str]],
        *,
        after: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AppendResult:
        """Append one turn or up to 100, all or none; pairs are role and content. They are durable
        when this returns, and recalled once the operation is DONE.

        `after`: only if this is the last turn ("": only if there is none). A turn whose id is there
        already is returned, not doubled. Raises NotFound, FailedPrecondition (the session has
        ended), Aborted (`after` is not the last), AlreadyExists (the id is another turn's),
        ResourceExhausted.
        """
        call = session_calls.append_turns(bank, session, turns, after, request_id)
        return self._run(call, timeout)

    def list_turns(
        self,
        bank: str,
        session: str,
        *,
        newest_first: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pager[Turn]:
        """The turns of a session, those it shares with sessions it was forked from included. Raises
        NotFound on reading."""
        return Pager(
            lambda token: self._run(
                session_calls.list_turns(bank, session, newest_first, page_size, token), timeout
            ),
            page_token,
        )

    def recall_in_session(
        self,
        bank: str,
        session: str,
        question: str,
        *,
        scope: Scope | None = None,
        options: AskOptions = AskOptions(),
        filter: str = "",
        as_of: datetime | None = None,
        recency: Recency | None = None,
        timeout: float | None = None,
    ) -> Recall:
        """Which memories within `scope` (None: "agent") does this question need? Best first."""
        call = session_calls.recall_in_session(
            bank, session, question, scope, options, filter, as_of, recency
        )
        return self._run(call, timeout)

    def build_session_context(
        self,
        bank: str,
        session: str,
        max_tokens: int,
        *,
        query: str = "",
        tokenizer: str = "",
        scope: Scope | None = None,
        recent_turns: int | None = None,
        recent_share: float | None = None,
        template: str = "",
        options: AskOptions = AskOptions(),
        filter: str = "",
        as_of: datetime | None = None,
        recency: Recency | None = None,
        timeout: float | None = None,
    ) -> SessionContext:
        """Text for any language model's prompt: memories for `query` ("": for the last turn), then
        the last turns word for word. Never more than `max_tokens` as `tokenizer` counts them ("":
        the model's own). Raises InvalidArgument, NotFound."""
        wanted = (query, tokenizer, scope, recent_turns, recent_share, template, options)
        call = session_calls.build_session_context(
            bank, session, max_tokens, *wanted, filter, as_of, recency
        )
        return self._run(call, timeout)

    def fork_session(
        self,
        bank: str,
        session: str,
        turn: str = "",
        *,
        new_session: str = "",
        agent: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        expire_time: datetime | None = None,
        ttl: timedelta | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Session:
        """Make a session that shares all turns up to `turn` ("": the last), and goes its own way
        from there; what is not given is as in `session`. Raises NotFound, AlreadyExists."""
        call = session_calls.fork_session(
            bank, session, turn, new_session, agent, metadata, expire_time, ttl, request_id
        )
        return self._run(call, timeout)

    def end_session(self, bank: str, session: str, *, timeout: float | None = None) -> Session:
        """Take no more turns; what there is stays memory. Raises NotFound."""
        return self._run(session_calls.end_session(bank, session), timeout)

    def delete_session(self, bank: str, session: str, *, timeout: float | None = None) -> int:
        """Delete a session and its turns, in forks of it too; returns how many. Raises NotFound."""
        return self._run(session_calls.delete_session(bank, session), timeout)
