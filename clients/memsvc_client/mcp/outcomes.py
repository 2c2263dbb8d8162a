"""What the tools give back: for programs by a schema, for readers as text. Knows no verbs."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Literal, Self

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from memsvc_client.events import Citation, Hit
from memsvc_client.names import last_id
from memsvc_client.resources import Document, DocumentState, Scalar
from memsvc_client.session_resources import ForgetReceipt

EXCERPT_CHARACTERS = 300
_ID = "Id of the document; `forget` takes it."


class Outcome(BaseModel):
    """The outcome of a tool."""

    @abstractmethod
    def readable(self) -> str:
        """The same for readers."""

    def result(self) -> CallToolResult:
        """Both forms, as the protocol wants them."""
        text = TextContent(type="text", text=self.readable())
        return CallToolResult(content=[text], structured_content=self.model_dump(mode="json"))


class Source(BaseModel):
    """A passage of a document."""

    document: str = Field(description=_ID)
    title: str
    quote: str = Field(description="The passage, word for word.")
    score: float = Field(description="Only its order within one result means something.")

    @classmethod
    def of(cls, found: Hit | Citation) -> Self:
        return cls(
            document=found.document_id, title=found.title, quote=found.quote, score=found.score
        )

    def line(self, number: int) -> str:
        """Numbered, with its document."""
        titled = f"{self.title} " if self.title else ""
        return f"[{number}] {titled}(document {self.document}): {self.quote}"


def _lines(sources: list[Source]) -> str:
    return "\n".join(one.line(number) for number, one in enumerate(sources, 1))


class Remembered(Outcome):
    """What became of a text that was to be remembered."""

    document: str = Field(description=_ID)
    state: DocumentState = Field(
        description="READY: it can be recalled. PENDING: stored for good, and soon it can. "
        "FAILED: stored, but it cannot be recalled; `error` says why."
    )
    error: str = ""

    def readable(self) -> str:
        match self.state:
            case "READY":
                return f"Remembered as document {self.document}."
            case "PENDING":
                return (
                    f"Stored as document {self.document}. It is still being encoded and cannot be "
                    "recalled yet; do not store it again."
                )
            case "FAILED":
                return (
                    f"Stored as document {self.document}, but it cannot be recalled: {self.error} "
                    "Forget it, and remember it in another form."
                )


class Memories(Outcome):
    """What a question needs."""

    memories: list[Source] = Field(description="Best first.")

    def readable(self) -> str:
        return _lines(self.memories) or "Nothing in memory fits."


class Answered(Outcome):
    """An answer with its sources."""

    found: bool = Field(description="Whether memory holds an answer.")
    answer: str = Field(description='"" if none was found.')
    confidence: float = Field(description="0 to 1.")
    sources: list[Source]

    def readable(self) -> str:
        if not self.found:
            return "Not in memory."
        return "\n".join([self.answer, "", "Sources:", _lines(self.sources)])


class ContextBlock(Outcome):
    """Text for a prompt."""

    text: str = Field(description="What memory holds on the query; [n] marks source n.")
    tokens: int = Field(description="How many tokens of memsvc's own model the text has.")
    sources: list[Source] = Field(description="The first is [1].")

    def readable(self) -> str:
        return self.text or "Nothing in memory fits."


class Listed(BaseModel):
    """A document of a listing."""

    document: str = Field(description=_ID)
    title: str
    excerpt: str = Field(description=f"The first {EXCERPT_CHARACTERS} characters of its text.")
    state: DocumentState = Field(description="Only what is READY can be recalled.")
    metadata: dict[str, Scalar]
    event_time: datetime | None = Field(description="When what it tells happened.")
    create_time: datetime | None = Field(description="When it was remembered.")

    @classmethod
    def of(cls, document: Document) -> Self:
        return cls(
            document=document.id,
            title=document.title,
            excerpt=document.text[:EXCERPT_CHARACTERS],
            state=document.state,
            metadata=dict(document.metadata),
            event_time=document.event_time,
            create_time=document.create_time,
        )

    def line(self) -> str:
        """Id, title, state where it matters, metadata, excerpt."""
        facts: list[str] = [] if self.state == "READY" else [self.state]
        facts += [f"{key}={value}" for key, value in sorted(self.metadata.items())]
        if self.event_time is not None:
            facts.append(f"happened {self.event_time.isoformat()}")
        told = f" ({', '.join(facts)})" if facts else ""
        titled = f" {self.title}" if self.title else ""
        return f"- {self.document}:{titled}{told}: {self.excerpt}"


class Listing(Outcome):
    """Some documents of memory."""

    documents: list[Listed] = Field(description="Oldest first.")
    more: bool = Field(description="Whether there are more than these.")

    def readable(self) -> str:
        lines = [one.line() for one in self.documents]
        if self.more:
            lines.append("There are more; raise `limit` or narrow the filter.")
        return "\n".join(lines) or "There are no such documents."


class Receipt(Outcome):
    """What was forgotten, and how far."""

    status: Literal["FORGOTTEN", "NEEDS_CONFIRMATION"] = Field(
        description="NEEDS_CONFIRMATION: nothing was forgotten, this only tells what would be."
    )
    document_count: int
    documents: list[str] = Field(description="Their ids, or the first 1000 of them.")
    not_found: list[str] = Field(description="Documents that were named and are not there.")
    version_count: int = Field(description="Former versions that are gone with them.")
    text_bytes: int = Field(description="Bytes of titles and texts.")
    forget_time: datetime | None = Field(description="From then on no question finds them.")
    erased: bool = Field(description="Whether their bytes have left the server's disk, too.")

    @classmethod
    def of(cls, receipt: ForgetReceipt, only_told: bool, named: list[str]) -> Self:
        """`only_told`: nothing was done; `named`: the ids that were asked for, if any."""
        ids = [last_id(one) for one in receipt.documents]
        return cls(
            status="NEEDS_CONFIRMATION" if only_told else "FORGOTTEN",
            document_count=receipt.document_count,
            documents=ids,
            not_found=[one for one in named if one not in ids],
            version_count=receipt.version_count,
            text_bytes=receipt.text_bytes,
            forget_time=receipt.forget_time,
            erased=receipt.compacted,
        )

    def readable(self) -> str:
        count = self.document_count
        told = f"{count} {'document' if count == 1 else 'documents'}"
        if self.documents:
            told += f" ({', '.join(self.documents)})"
        if self.status == "NEEDS_CONFIRMATION":
            return (
                f"Nothing was forgotten yet. This would forget {told}. If that is what the user "
                "wants, call again with confirm = true."
            )
        lines = [f"Forgotten for good: {told}."]
        if self.erased:
            lines.append("Nothing of it is left on the server's disk.")
        if self.not_found:
            lines.append(f"Not there: {', '.join(self.not_found)}.")
        return "\n".join(lines)
