"""JSON lines as the bench reads them: the reader lies a storey lower, for training reads them too.

Knows nothing of its own.
"""

from memsvc_router.training.lines import (
    InputError,
    Line,
    is_lines,
    read_document,
    read_lines,
    read_records,
)

__all__ = ["InputError", "Line", "is_lines", "read_document", "read_lines", "read_records"]
