from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Bank(_message.Message):
    __slots__ = ("name", "display_name", "metadata", "quota_bytes", "document_count", "pending_count", "ready_count", "failed_count", "text_bytes", "kv_bytes", "identity_digest", "etag", "create_time", "update_time")
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
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., quota_bytes: _Optional[int] = ..., document_count: _Optional[int] = ..., pending_count: _Optional[int] = ..., ready_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., text_bytes: _Optional[int] = ..., kv_bytes: _Optional[int] = ..., identity_digest: _Optional[str] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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
