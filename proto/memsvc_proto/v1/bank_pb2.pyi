from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Identity(_message.Message):
    __slots__ = ("model", "weights_digest", "tokenizer_digest", "template", "pool_size", "dtype", "router_layers", "block_format", "digest")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    POOL_SIZE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    ROUTER_LAYERS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FORMAT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    model: str
    weights_digest: str
    tokenizer_digest: str
    template: str
    pool_size: int
    dtype: str
    router_layers: _containers.RepeatedScalarFieldContainer[int]
    block_format: int
    digest: str
    def __init__(self, model: _Optional[str] = ..., weights_digest: _Optional[str] = ..., tokenizer_digest: _Optional[str] = ..., template: _Optional[str] = ..., pool_size: _Optional[int] = ..., dtype: _Optional[str] = ..., router_layers: _Optional[_Iterable[int]] = ..., block_format: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class Reencoding(_message.Message):
    __slots__ = ("operation", "total", "done", "failed")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    operation: str
    total: int
    done: int
    failed: int
    def __init__(self, operation: _Optional[str] = ..., total: _Optional[int] = ..., done: _Optional[int] = ..., failed: _Optional[int] = ...) -> None: ...

class Routing(_message.Message):
    __slots__ = ("coarse", "recall", "questions", "speedup")
    COARSE_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    SPEEDUP_FIELD_NUMBER: _ClassVar[int]
    coarse: bool
    recall: float
    questions: int
    speedup: float
    def __init__(self, coarse: bool = ..., recall: _Optional[float] = ..., questions: _Optional[int] = ..., speedup: _Optional[float] = ...) -> None: ...

class Bank(_message.Message):
    __slots__ = ("name", "display_name", "metadata", "quota_bytes", "document_count", "pending_count", "ready_count", "failed_count", "text_bytes", "kv_bytes", "identity_digest", "etag", "create_time", "update_time", "serving_state", "serving_identity", "loaded_identity", "reencoding", "routing")
    class ServingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SERVING_STATE_UNSPECIFIED: _ClassVar[Bank.ServingState]
        SERVING: _ClassVar[Bank.ServingState]
        REENCODING_SERVING_PREVIOUS: _ClassVar[Bank.ServingState]
        REENCODING_UNAVAILABLE: _ClassVar[Bank.ServingState]
    SERVING_STATE_UNSPECIFIED: Bank.ServingState
    SERVING: Bank.ServingState
    REENCODING_SERVING_PREVIOUS: Bank.ServingState
    REENCODING_UNAVAILABLE: Bank.ServingState
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENDING_COUNT_FIELD_NUMBER: _ClassVar[int]
    READY_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    KV_BYTES_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SERVING_STATE_FIELD_NUMBER: _ClassVar[int]
    SERVING_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    LOADED_IDENTITY_FIELD_NUMBER: _ClassVar[int]
    REENCODING_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    metadata: _struct_pb2.Struct
    quota_bytes: int
    document_count: int
    pending_count: int
    ready_count: int
    failed_count: int
    text_bytes: int
    kv_bytes: int
    identity_digest: str
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    serving_state: Bank.ServingState
    serving_identity: Identity
    loaded_identity: Identity
    reencoding: Reencoding
    routing: Routing
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., quota_bytes: _Optional[int] = ..., document_count: _Optional[int] = ..., pending_count: _Optional[int] = ..., ready_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., text_bytes: _Optional[int] = ..., kv_bytes: _Optional[int] = ..., identity_digest: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., serving_state: _Optional[_Union[Bank.ServingState, str]] = ..., serving_identity: _Optional[_Union[Identity, _Mapping]] = ..., loaded_identity: _Optional[_Union[Identity, _Mapping]] = ..., reencoding: _Optional[_Union[Reencoding, _Mapping]] = ..., routing: _Optional[_Union[Routing, _Mapping]] = ...) -> None: ...

class CreateBankRequest(_message.Message):
    __slots__ = ("bank_id", "bank", "request_id", "validate_only")
    BANK_ID_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    bank_id: str
    bank: Bank
    request_id: str
    validate_only: bool
    def __init__(self, bank_id: _Optional[str] = ..., bank: _Optional[_Union[Bank, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class GetBankRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListBanksRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBanksResponse(_message.Message):
    __slots__ = ("banks", "next_page_token")
    BANKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    banks: _containers.RepeatedCompositeFieldContainer[Bank]
    next_page_token: str
    def __init__(self, banks: _Optional[_Iterable[_Union[Bank, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateBankRequest(_message.Message):
    __slots__ = ("bank", "update_mask", "validate_only")
    BANK_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    bank: Bank
    update_mask: _field_mask_pb2.FieldMask
    validate_only: bool
    def __init__(self, bank: _Optional[_Union[Bank, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., validate_only: bool = ...) -> None: ...

class DeleteBankRequest(_message.Message):
    __slots__ = ("name", "etag", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    etag: str
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., etag: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class VerifyBankRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class VerifyBankResponse(_message.Message):
    __slots__ = ("document_count", "block_count", "corrupt_documents", "missing_documents")
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BLOCK_COUNT_FIELD_NUMBER: _ClassVar[int]
    CORRUPT_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    MISSING_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    document_count: int
    block_count: int
    corrupt_documents: _containers.RepeatedScalarFieldContainer[str]
    missing_documents: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, document_count: _Optional[int] = ..., block_count: _Optional[int] = ..., corrupt_documents: _Optional[_Iterable[str]] = ..., missing_documents: _Optional[_Iterable[str]] = ...) -> None: ...

class CompactBankRequest(_message.Message):
    __slots__ = ("name", "min_dead_fraction")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MIN_DEAD_FRACTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    min_dead_fraction: float
    def __init__(self, name: _Optional[str] = ..., min_dead_fraction: _Optional[float] = ...) -> None: ...

class CompactBankResponse(_message.Message):
    __slots__ = ("bytes_before", "bytes_after", "segments_before", "segments_after", "document_count")
    BYTES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    BYTES_AFTER_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_AFTER_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    bytes_before: int
    bytes_after: int
    segments_before: int
    segments_after: int
    document_count: int
    def __init__(self, bytes_before: _Optional[int] = ..., bytes_after: _Optional[int] = ..., segments_before: _Optional[int] = ..., segments_after: _Optional[int] = ..., document_count: _Optional[int] = ...) -> None: ...

class EstimateBankRequest(_message.Message):
    __slots__ = ("tokens", "document_count", "like", "k")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIKE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    tokens: int
    document_count: int
    like: str
    k: int
    def __init__(self, tokens: _Optional[int] = ..., document_count: _Optional[int] = ..., like: _Optional[str] = ..., k: _Optional[int] = ...) -> None: ...

class EstimateBankResponse(_message.Message):
    __slots__ = ("identity", "document_count", "chunk_count", "near_bytes", "far_bytes", "hop_bytes", "k", "encode_seconds")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEAR_BYTES_FIELD_NUMBER: _ClassVar[int]
    FAR_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOP_BYTES_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    ENCODE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    identity: Identity
    document_count: int
    chunk_count: int
    near_bytes: int
    far_bytes: int
    hop_bytes: int
    k: int
    encode_seconds: float
    def __init__(self, identity: _Optional[_Union[Identity, _Mapping]] = ..., document_count: _Optional[int] = ..., chunk_count: _Optional[int] = ..., near_bytes: _Optional[int] = ..., far_bytes: _Optional[int] = ..., hop_bytes: _Optional[int] = ..., k: _Optional[int] = ..., encode_seconds: _Optional[float] = ...) -> None: ...
