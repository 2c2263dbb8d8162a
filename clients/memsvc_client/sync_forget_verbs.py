"""The blocking client's forgetting, and former versions. Knows no bytes and no channels."""

from __future__ import annotations

from collections.abc import Iterable

from memsvc_client import forget_calls
from memsvc_client.pagers import Pager
from memsvc_client.session_resources import DocumentVersion, ForgetReceipt
from memsvc_client.sync_transport import SyncTransport
from memsvc_client.transport import BANK_TIMEOUT


class ForgetVerbs(SyncTransport):
    """DocumentService, as far as it forgets and tells what was."""

    def forget_documents(
        self,
        bank: str,
        *,
        documents: Iterable[str] | None = None,
        filter: str | None = None,
        session: str | None = None,
        agent: str | None = None,
        compact: bool = False,
        validate_only: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ForgetReceipt:
        """Delete up to 1000 named documents, or all that `filter` lets through, or a session, or
        all sessions of an agent, with former versions and feedback that calls them relevant.

        `compact`: when this returns, no file of the server's holds anything of them; the call then
        may take as long as `compact_bank`. Raises InvalidArgument unless exactly one way says
        which, NotFound.
        """
        call = forget_calls.forget_documents(
            bank, documents, filter, session, agent, compact, validate_only, request_id
        )
        return self._run(call, BANK_TIMEOUT if compact and timeout is None else timeout)

    def list_document_versions(
        self,
        bank: str,
        document: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pager[DocumentVersion]:
        """The former titles and texts of a document that were kept, newest first. Raises NotFound
        on reading."""
        return Pager(
            lambda token: self._run(
                forget_calls.list_document_versions(bank, document, page_size, token), timeout
            ),
            page_token,
        )
