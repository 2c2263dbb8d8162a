"""The published template (MSA §4): prefix, documents with their number, questions, texts read.

Special tokens are placed here and nowhere else: what users write is tokenised as plain text, so a
document cannot end a turn. Knows the tokenizer, not the network.
"""

from __future__ import annotations

import zlib

from tokenizers import Tokenizer

from memsvc_router.api import DocumentText
from memsvc_router.texts import Piece

START, END, REFERENCE_END = "<|im_start|>", "<|im_end|>", "<|object_ref_end|>"
_NUMBERS = 1_000_000
_MARGIN = 16  # tokens that cutting a text anew may add


def number_of(document_id: str) -> int:
    """The number under which the model knows a document: its id where that is a plain number, else
    a digest. It depends on nothing else, so a block is good in any bank; two documents that share
    a number are read together."""
    if document_id.isascii() and document_id.isdigit() and len(document_id) <= 9:
        number = int(document_id)
        if str(number) == document_id:
            return number
    return zlib.crc32(document_id.encode()) % _NUMBERS


class Prompts:
    """Builds everything that is fed to the model. Raises ValueError if the tokenizer lacks a token
    of the template."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.start, self.end, self.reference_end = (
            self._special(token) for token in (START, END, REFERENCE_END)
        )
        self.end_of_retrieve = self.plain("<End-of-Retrieve>")

    def plain(self, text: str) -> list[int]:
        """A user's or our own words, without any special token."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def prefix(self) -> list[int]:
        """The head of every prompt."""
        return [self.start, *self.plain("user\n")]

    def question(self, question: str) -> tuple[list[int], int]:
        """The prompt after the prefix, and how many of its tokens route."""
        asked = self.plain(
            "\nPlease answer the question based on the above historical document information\n\n"
            f"{question}\nPlease return all documents related to the question\n"
        )
        return [*asked, self.end, *self.plain("\n"), self.start], len(asked)

    def reference(self, number: int) -> list[int]:
        """How a document is named."""
        return self.plain(f"[{number}]")

    def original(self, number: int, text: str) -> list[int]:
        """How the text of a document joins the question."""
        return self.plain(f"[{number}]. {text}\n")

    def final(self, question: str) -> list[int]:
        """What asks for the answer, after the end of retrieval."""
        asked = self.plain(f"The user's question is: {question}\n")
        return [self.start, *asked, self.reference_end]

    def document(self, document: DocumentText, limit: int) -> list[Piece]:
        """A document as it is encoded, in parts of at most `limit` tokens."""
        number = number_of(document.document_id)
        body = f"{document.title}\n{document.text}" if document.title else document.text
        shift = len(body) - len(document.text)
        whole = self._part(number, body, 0, len(document.text), shift)
        if len(whole.ids) <= limit:
            return [whole]
        parts = []
        room = limit - len(self._part(number, "", 0, 0, 0).ids) - _MARGIN
        if room < 1:
            raise ValueError(f"a part of {limit} tokens has no room for text")
        offsets = self.tokenizer.encode(body, add_special_tokens=False).offsets
        for at in range(0, len(offsets), room):
            first = offsets[at][0] if at else 0
            last = offsets[at + room][0] if at + room < len(offsets) else len(body)
            parts.append(self._part(number, body[first:last], first, len(document.text), shift))
        return parts

    def _part(self, number: int, words: str, first: int, length: int, shift: int) -> Piece:
        """One part: `words` begin at character `first` of a body whose text begins at `shift`."""
        head = f"[{number}]. "
        told = self.tokenizer.encode(f"{head}{words}[{number}]", add_special_tokens=False)
        end = len(head) + len(words)
        spans = [(-1, -1)]
        for begin, past in told.offsets:
            inside = max(begin, len(head)), min(past, end)
            a, b = (x - len(head) + first - shift for x in inside)
            known = inside[0] < inside[1] and b > 0
            spans.append((max(a, 0), min(b, length)) if known else (-1, -1))
        return Piece([self.start, *told.ids, self.end], [*spans, (-1, -1)])

    def _special(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(
                f"the tokenizer has no token {token}, which the template needs; "
                "`memsvc model init BASE OUT` writes a checkpoint that has it"
            )
        return int(found)
