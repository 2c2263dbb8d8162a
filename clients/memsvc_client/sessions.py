"""One session in hand, for the blocking client: its verbs without bank and session to repeat.

Knows no bytes and no channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from memsvc_client.errors import AlreadyExists, Internal, InvalidArgument, NotFound
from memsvc_client.events import AskOptions, Recall, Recency
from memsvc_client.names import last_id
from memsvc_client.pagers import Pager
from memsvc_client.resources import Scalar
from memsvc_client.session_resources import (
    AppendResult,
    NewTurn,
    Scope,
    Session,
    SessionContext,
    ToolCall,
    Turn,
)
from memsvc_client.sync_session_verbs import SessionVerbs


class SessionHandle:
    """A session by its full `name`. Making one asks the server nothing; errors are those of the
    client's verbs."""

    def __init__(self, client: SessionVerbs, name: str) -> None:
        self._client = client
        self._bank = name.rpartition("/sessions/")[0]
        self.name = name

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)

    def get(self, *, timeout: float | None = None) -> Session:
        """The session as it stands."""
        return self._client.get_session(self._bank, self.name, timeout=timeout)

    def append(
        self,
        role: str,
        content: str = "",
        *,
        tool_calls: Sequence[ToolCall] = (),
        turn_id: str = "",
        time: datetime | None = None,
        after: str | None = None,
        wait: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Turn:
        """Append one turn; `extend` says the rest."""
        turn = NewTurn(role, content, turn_id=turn_id, tool_calls=tool_calls, time=time)
        result = self.extend(turn, after=after, wait=wait, request_id=request_id, timeout=timeout)
        return result.turns[0]

    def extend(
        self,
        turns: NewTurn | tuple[str, str] | Iterable[NewTurn | tuple[str, str]],
        *,
        after: str | None = None,
        wait: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AppendResult:
        """Append turns, all or none; durable when this returns. `wait`: return when questions find
        them, however long it takes; raises Internal if one of them cannot be encoded."""
        result = self._client.append_turns(
            self._bank, self.name, turns, after=after, request_id=request_id, timeout=timeout
        )
        if wait and result.operation is not None:
            ended = self._client.wait_operation(result.operation)
            if ended.state != "DONE" or ended.failed:
                raise Internal(f"kept, but not encoded: {ended.error or ended.state}")
        return result

    def turns(self, *, newest_first: bool = False, timeout: float | None = None) -> Pager[Turn]:
        """All turns, in their order or the last one first."""
        return self._client.list_turns(
            self._bank, self.name, newest_first=newest_first, timeout=timeout
        )

    def recall(
        self,
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
        return self._client.recall_in_session(
            self._bank,
            self.name,
            question,
            scope=scope,
            options=options,
            filter=filter,
            as_of=as_of,
            recency=recency,
            timeout=timeout,
        )

    def context(
        self,
        max_tokens: int,
        query: str = "",
        *,
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
        """Text for any language model's prompt, as `build_session_context` makes it."""
        return self._client.build_session_context(
            self._bank,
            self.name,
            max_tokens,
            query=query,
            tokenizer=tokenizer,
            scope=scope,
            recent_turns=recent_turns,
            recent_share=recent_share,
            template=template,
            options=options,
            filter=filter,
            as_of=as_of,
            recency=recency,
            timeout=timeout,
        )

    def fork(
        self,
        turn: str = "",
        *,
        new_session: str = "",
        agent: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        ttl: timedelta | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> SessionHandle:
        """A session that shares all turns up to `turn` ("": the last one)."""
        made = self._client.fork_session(
            self._bank,
            self.name,
            turn,
            new_session=new_session,
            agent=agent,
            metadata=metadata,
            ttl=ttl,
            request_id=request_id,
            timeout=timeout,
        )
        return SessionHandle(self._client, made.name)

    def end(self, *, timeout: float | None = None) -> Session:
        """Take no more turns; what there is stays memory."""
        return self._client.end_session(self._bank, self.name, timeout=timeout)

    def delete(self, *, timeout: float | None = None) -> int:
        """Delete it with its turns; returns how many."""
        return self._client.delete_session(self._bank, self.name, timeout=timeout)


class SessionOpener(SessionVerbs):
    """The verb that makes handles."""

    def session(
        self,
        bank: str,
        session: str = "",
        *,
        agent: str = "",
        create: bool = True,
        ttl: timedelta | None = None,
        metadata: Mapping[str, Scalar] | None = None,
        timeout: float | None = None,
    ) -> SessionHandle:
        """Open a session, or make it if there is none; without `session` a new one. One that is
        there keeps its agent, metadata and time to live. Raises NotFound if it may not `create`."""
        if session:
            try:
                found = self.get_session(bank, session, timeout=timeout)
                return SessionHandle(self, found.name)
            except NotFound as error:
                if not create or error.reason != "SESSION_NOT_FOUND":
                    raise
        elif not create:
            raise InvalidArgument.of_field("session", "is needed where none may be made")
        try:
            made = self.create_session(
                bank, session, agent=agent, metadata=metadata, ttl=ttl, timeout=timeout
            )
        except AlreadyExists:  # Somebody else was quicker.
            made = self.get_session(bank, session, timeout=timeout)
        return SessionHandle(self, made.name)
