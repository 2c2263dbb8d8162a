"""The memory model: encode, route, interleave, answer. Never disk layout, SQL or gRPC."""

from memsvc_router.memory import ResidentMemory
from memsvc_router.models import load_model
from memsvc_router.small import SmallMemoryModel, load_default_model

__all__ = ["ResidentMemory", "SmallMemoryModel", "load_default_model", "load_model"]
