"""Sessions of the small server: for what the client does, not the service.

Whatever is asked, it keeps the request and answers with what a real server might say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from memsvc_proto.v1 import memory_pb2, operation_pb2, session_pb2, session_pb2_grpc

from tests.client_support import Record, abort, reason, small_server, status

WHEN = Timestamp(seconds=1_700_000_000)


def turn(number: int, session: str = "banks/b/sessions/s") -> session_pb2.Turn:
    """A turn as a server tells of it."""
    return session_pb2.Turn(
        name=f"{session}/turns/t{number}",
        role="user",
        content=f"text {number}",
        tool_calls=[session_pb2.ToolCall(id="c", name="look", arguments="{}", result="found")],
        time=WHEN,
        position=number,
        document=f"banks/b/documents/s~t{number}",
        create_time=WHEN,
    )


class Sessions(session_pb2_grpc.SessionServiceServicer):
    """Knows the sessions that it was asked to make; all of them have seven turns."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.made: dict[str, session_pb2.Session] = {}

    def _make(self, name: str, session: Any) -> session_pb2.Session:
        made = session_pb2.Session(name=name, turn_count=7, last_turn="t6", update_time=WHEN)
        made.MergeFrom(session)
        self.made[name] = made
        return made

    def CreateSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("CreateSession", request, context)
        name = f"{request.parent}/sessions/{request.session_id or 'made'}"
        return self._make(name, request.session)

    def GetSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("GetSession", request, context)
        if request.name not in self.made:
            none = "there is no such session"
            abort(context, status(grpc.StatusCode.NOT_FOUND, none, reason("SESSION_NOT_FOUND")))
        return self.made[request.name]

    def ListSessions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("ListSessions", request, context)
        return session_pb2.ListSessionsResponse(sessions=self.made.values())

    def AppendTurns(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("AppendTurns", request, context)
        turns = [turn(7 + place, request.name) for place in range(len(request.turns))]
        return session_pb2.AppendTurnsResponse(
            turns=turns,
            operation=operation_pb2.Operation(name="operations/1", total=len(turns)),
            session=session_pb2.Session(name=request.name, turn_count=7 + len(turns)),
        )

    def ListTurns(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("ListTurns", request, context)
        numbers = list(range(7))[:: -1 if request.newest_first else 1]
        first = int(request.page_token or 0)
        last = first + (request.page_size or 3)
        return session_pb2.ListTurnsResponse(
            turns=[turn(number, request.name) for number in numbers[first:last]],
            next_page_token=str(last) if last < len(numbers) else "",
        )

    def RecallInSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("RecallInSession", request, context)
        hits = [
            memory_pb2.Hit(document=f"banks/b/documents/s~t{number}", score=0.5, read=number < 2)
            for number in range(3)
        ]
        return memory_pb2.RecallResponse(hits=hits)

    def BuildSessionContext(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("BuildSessionContext", request, context)
        cited = memory_pb2.Citation(document="banks/b/documents/s~t1", title="then", quote="so")
        memory = session_pb2.Memory(
            citation=cited, time=WHEN, session="banks/b/sessions/s", role="user"
        )
        document = session_pb2.Memory(citation=memory_pb2.Citation(document="banks/b/documents/d"))
        return session_pb2.SessionContext(
            text="[1] then so", memories=[memory, document], recent=[turn(6)], tokens=5
        )

    def ForkSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("ForkSession", request, context)
        name = f"{request.name.rpartition('/')[0]}/{request.session_id or 'forked'}"
        made = self._make(name, request.session)
        made.forked_from, made.forked_at = request.name, request.turn_id or "t6"
        return made

    def EndSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("EndSession", request, context)
        return session_pb2.Session(name=request.name, end_time=WHEN)

    def DeleteSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("DeleteSession", request, context)
        return session_pb2.DeleteSessionResponse(turn_count=7)


@contextmanager
def session_server() -> Iterator[tuple[str, Record]]:
    """`small_server` with sessions."""
    more = (session_pb2_grpc.add_SessionServiceServicer_to_server, Sessions)
    with small_server(more) as running:
        yield running
