from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("version", "model", "identity_digest", "state", "state_reason", "pid", "start_time", "uptime")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[ServerInfo.State]
        LOADING: _ClassVar[ServerInfo.State]
        READY: _ClassVar[ServerInfo.State]
        FAILED: _ClassVar[ServerInfo.State]
    STATE_UNSPECIFIED: ServerInfo.State
    LOADING: ServerInfo.State
    READY: ServerInfo.State
    FAILED: ServerInfo.State
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    version: str
    model: str
    identity_digest: str
    state: ServerInfo.State
    state_reason: str
    pid: int
    start_time: _timestamp_pb2.Timestamp
    uptime: _duration_pb2.Duration
    def __init__(self, version: _Optional[str] = ..., model: _Optional[str] = ..., identity_digest: _Optional[str] = ..., state: _Optional[_Union[ServerInfo.State, str]] = ..., state_reason: _Optional[str] = ..., pid: _Optional[int] = ..., start_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., uptime: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
