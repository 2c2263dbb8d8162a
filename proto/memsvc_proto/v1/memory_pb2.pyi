from google.protobuf import timestamp_pb2 as _timestamp_pb2
from memsvc_proto.v1 import compare_pb2 as _compare_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AskOptions(_message.Message):
    __slots__ = ("k", "max_hops", "max_documents", "min_confidence", "max_read_tokens", "max_seconds", "sampling", "exact")
    K_FIELD_NUMBER: _ClassVar[int]
    MAX_HOPS_FIELD_NUMBER: _ClassVar[int]
    MAX_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    MIN_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    k: int
    max_hops: int
    max_documents: int
    min_confidence: float
    max_read_tokens: int
    max_seconds: float
    sampling: Sampling
    exact: bool
    def __init__(self, k: _Optional[int] = ..., max_hops: _Optional[int] = ..., max_documents: _Optional[int] = ..., min_confidence: _Optional[float] = ..., max_read_tokens: _Optional[int] = ..., max_seconds: _Optional[float] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., exact: bool = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., seed: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("document", "score", "chunk", "start", "end", "hop", "read", "title", "quote")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    document: str
    score: float
    chunk: int
    start: int
    end: int
    hop: int
    read: bool
    title: str
    quote: str
    def __init__(self, document: _Optional[str] = ..., score: _Optional[float] = ..., chunk: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., hop: _Optional[int] = ..., read: bool = ..., title: _Optional[str] = ..., quote: _Optional[str] = ...) -> None: ...

class LayerRoute(_message.Message):
    __slots__ = ("layer", "documents", "scores")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    layer: int
    documents: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, layer: _Optional[int] = ..., documents: _Optional[_Iterable[str]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("index", "given", "routed", "read", "milliseconds", "layers")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    ROUTED_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    index: int
    given: _containers.RepeatedScalarFieldContainer[str]
    routed: _containers.RepeatedCompositeFieldContainer[Hit]
    read: _containers.RepeatedScalarFieldContainer[str]
    milliseconds: float
    layers: _containers.RepeatedCompositeFieldContainer[LayerRoute]
    def __init__(self, index: _Optional[int] = ..., given: _Optional[_Iterable[str]] = ..., routed: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., read: _Optional[_Iterable[str]] = ..., milliseconds: _Optional[float] = ..., layers: _Optional[_Iterable[_Union[LayerRoute, _Mapping]]] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("document", "title", "quote", "start", "end", "chunk", "score", "hop", "layer")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    document: str
    title: str
    quote: str
    start: int
    end: int
    chunk: int
    score: float
    hop: int
    layer: int
    def __init__(self, document: _Optional[str] = ..., title: _Optional[str] = ..., quote: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., chunk: _Optional[int] = ..., score: _Optional[float] = ..., hop: _Optional[int] = ..., layer: _Optional[int] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("question_tokens", "read_tokens", "documents_read", "hops", "forward_ms", "total_ms", "answer_tokens")
    QUESTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_READ_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    question_tokens: int
    read_tokens: int
    documents_read: int
    hops: int
    forward_ms: float
    total_ms: float
    answer_tokens: int
    def __init__(self, question_tokens: _Optional[int] = ..., read_tokens: _Optional[int] = ..., documents_read: _Optional[int] = ..., hops: _Optional[int] = ..., forward_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., answer_tokens: _Optional[int] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("answer", "found", "confidence", "usage")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    answer: str
    found: bool
    confidence: float
    usage: Usage
    def __init__(self, answer: _Optional[str] = ..., found: bool = ..., confidence: _Optional[float] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Recency(_message.Message):
    __slots__ = ("half_life", "weight")
    HALF_LIFE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    half_life: float
    weight: float
    def __init__(self, half_life: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...

class RecallRequest(_message.Message):
    __slots__ = ("bank", "question", "options", "filter", "as_of", "recency")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    bank: str
    question: str
    options: AskOptions
    filter: str
    as_of: _timestamp_pb2.Timestamp
    recency: Recency
    def __init__(self, bank: _Optional[str] = ..., question: _Optional[str] = ..., options: _Optional[_Union[AskOptions, _Mapping]] = ..., filter: _Optional[str] = ..., as_of: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., recency: _Optional[_Union[Recency, _Mapping]] = ...) -> None: ...

class RecallResponse(_message.Message):
    __slots__ = ("hits", "hops", "usage")
    HITS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    usage: Usage
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class AskRequest(_message.Message):
    __slots__ = ("bank", "question", "options", "filter", "as_of", "recency")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    bank: str
    question: str
    options: AskOptions
    filter: str
    as_of: _timestamp_pb2.Timestamp
    recency: Recency
    def __init__(self, bank: _Optional[str] = ..., question: _Optional[str] = ..., options: _Optional[_Union[AskOptions, _Mapping]] = ..., filter: _Optional[str] = ..., as_of: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., recency: _Optional[_Union[Recency, _Mapping]] = ...) -> None: ...

class AskEvent(_message.Message):
    __slots__ = ("hop", "citation", "token", "done")
    HOP_FIELD_NUMBER: _ClassVar[int]
    CITATION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    hop: Hop
    citation: Citation
    token: Token
    done: Done
    def __init__(self, hop: _Optional[_Union[Hop, _Mapping]] = ..., citation: _Optional[_Union[Citation, _Mapping]] = ..., token: _Optional[_Union[Token, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ...) -> None: ...

class BuildContextRequest(_message.Message):
    __slots__ = ("bank", "query", "max_tokens", "options", "filter", "as_of", "recency")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    bank: str
    query: str
    max_tokens: int
    options: AskOptions
    filter: str
    as_of: _timestamp_pb2.Timestamp
    recency: Recency
    def __init__(self, bank: _Optional[str] = ..., query: _Optional[str] = ..., max_tokens: _Optional[int] = ..., options: _Optional[_Union[AskOptions, _Mapping]] = ..., filter: _Optional[str] = ..., as_of: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., recency: _Optional[_Union[Recency, _Mapping]] = ...) -> None: ...

class BuildContextResponse(_message.Message):
    __slots__ = ("text", "citations", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    tokens: int
    def __init__(self, text: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., tokens: _Optional[int] = ...) -> None: ...
