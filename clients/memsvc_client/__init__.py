"""memsvc_client: the Python SDK of memsvc. It loads neither the server nor its libraries.

with MemoryClient("127.0.0.1:7600") as memory:
    memory.create_bank("notes")
    added = memory.add("notes", "The key is under the blue pot.")
    memory.wait_operation(added.operation)
    answer = memory.ask_answer("notes", "Where is the key?")
    print(answer.text if answer.found else "not in memory", answer.citations)
"""

from memsvc_client.async_client import AsyncMemoryClient
from memsvc_client.call import Page
from memsvc_client.client import MemoryClient
from memsvc_client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    MemsvcError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from memsvc_client.events import (
    Answer,
    AskOptions,
    Citation,
    Context,
    Done,
    Event,
    Hit,
    Hop,
    LayerRoute,
    Recall,
    Sampling,
    Token,
    Usage,
)
from memsvc_client.pagers import AsyncPager, Pager
from memsvc_client.resources import (
    UNSET,
    AddResult,
    Bank,
    BankEstimate,
    CompactReport,
    Document,
    Identity,
    IngestBatch,
    IngestResult,
    NewDocument,
    Operation,
    Reencoding,
    ServerInfo,
    ServingState,
    UpdateResult,
    VerifyReport,
)

__all__ = [
    "UNSET",
    "Aborted",
    "AddResult",
    "AlreadyExists",
    "Answer",
    "AskOptions",
    "AsyncMemoryClient",
    "AsyncPager",
    "Bank",
    "BankEstimate",
    "Cancelled",
    "Citation",
    "CompactReport",
    "Context",
    "DataLoss",
    "DeadlineExceeded",
    "Document",
    "Done",
    "Event",
    "FailedPrecondition",
    "FieldViolation",
    "Hit",
    "Hop",
    "Identity",
    "IngestBatch",
    "IngestResult",
    "Internal",
    "InvalidArgument",
    "LayerRoute",
    "MemoryClient",
    "MemsvcError",
    "NewDocument",
    "NotFound",
    "Operation",
    "Page",
    "Pager",
    "PermissionDenied",
    "Recall",
    "Reencoding",
    "ResourceExhausted",
    "Sampling",
    "ServerInfo",
    "ServingState",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UpdateResult",
    "Usage",
    "VerifyReport",
]
