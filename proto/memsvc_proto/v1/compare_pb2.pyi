from google.protobuf import struct_pb2 as _struct_pb2
from memsvc_proto.v1 import bank_pb2 as _bank_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CompareQuestion(_message.Message):
    __slots__ = ("id", "text", "answers", "evidence", "unanswerable")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    UNANSWERABLE_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    answers: _containers.RepeatedScalarFieldContainer[str]
    evidence: _containers.RepeatedScalarFieldContainer[str]
    unanswerable: bool
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., answers: _Optional[_Iterable[str]] = ..., evidence: _Optional[_Iterable[str]] = ..., unanswerable: bool = ...) -> None: ...

class CompareSettings(_message.Message):
    __slots__ = ("k", "max_hops", "max_read_tokens", "filter", "index", "embedder", "reranker", "seed")
    K_FIELD_NUMBER: _ClassVar[int]
    MAX_HOPS_FIELD_NUMBER: _ClassVar[int]
    MAX_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EMBEDDER_FIELD_NUMBER: _ClassVar[int]
    RERANKER_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    k: int
    max_hops: int
    max_read_tokens: int
    filter: str
    index: str
    embedder: str
    reranker: str
    seed: int
    def __init__(self, k: _Optional[int] = ..., max_hops: _Optional[int] = ..., max_read_tokens: _Optional[int] = ..., filter: _Optional[str] = ..., index: _Optional[str] = ..., embedder: _Optional[str] = ..., reranker: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("bank", "questions", "paths", "settings")
    BANK_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    bank: str
    questions: _containers.RepeatedCompositeFieldContainer[CompareQuestion]
    paths: _containers.RepeatedScalarFieldContainer[str]
    settings: CompareSettings
    def __init__(self, bank: _Optional[str] = ..., questions: _Optional[_Iterable[_Union[CompareQuestion, _Mapping]]] = ..., paths: _Optional[_Iterable[str]] = ..., settings: _Optional[_Union[CompareSettings, _Mapping]] = ...) -> None: ...

class CompareProgress(_message.Message):
    __slots__ = ("path", "done", "total", "seconds_left")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    path: str
    done: int
    total: int
    seconds_left: float
    def __init__(self, path: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., seconds_left: _Optional[float] = ...) -> None: ...

class ComparePathSkipped(_message.Message):
    __slots__ = ("path", "reason")
    PATH_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    path: str
    reason: str
    def __init__(self, path: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class CompareHop(_message.Message):
    __slots__ = ("index", "routed", "read", "milliseconds")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ROUTED_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    MILLISECONDS_FIELD_NUMBER: _ClassVar[int]
    index: int
    routed: _containers.RepeatedScalarFieldContainer[str]
    read: _containers.RepeatedScalarFieldContainer[str]
    milliseconds: float
    def __init__(self, index: _Optional[int] = ..., routed: _Optional[_Iterable[str]] = ..., read: _Optional[_Iterable[str]] = ..., milliseconds: _Optional[float] = ...) -> None: ...

class CompareCitation(_message.Message):
    __slots__ = ("document", "title", "quote")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    document: str
    title: str
    quote: str
    def __init__(self, document: _Optional[str] = ..., title: _Optional[str] = ..., quote: _Optional[str] = ...) -> None: ...

class CompareResult(_message.Message):
    __slots__ = ("path", "question", "answer", "found", "confidence", "em", "f1", "hits", "hops", "citations", "latency_ms", "read_tokens", "error")
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    EM_FIELD_NUMBER: _ClassVar[int]
    F1_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    path: str
    question: CompareQuestion
    answer: str
    found: bool
    confidence: float
    em: float
    f1: float
    hits: _containers.RepeatedScalarFieldContainer[str]
    hops: _containers.RepeatedCompositeFieldContainer[CompareHop]
    citations: _containers.RepeatedCompositeFieldContainer[CompareCitation]
    latency_ms: float
    read_tokens: int
    error: str
    def __init__(self, path: _Optional[str] = ..., question: _Optional[_Union[CompareQuestion, _Mapping]] = ..., answer: _Optional[str] = ..., found: bool = ..., confidence: _Optional[float] = ..., em: _Optional[float] = ..., f1: _Optional[float] = ..., hits: _Optional[_Iterable[str]] = ..., hops: _Optional[_Iterable[_Union[CompareHop, _Mapping]]] = ..., citations: _Optional[_Iterable[_Union[CompareCitation, _Mapping]]] = ..., latency_ms: _Optional[float] = ..., read_tokens: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class CompareInterval(_message.Message):
    __slots__ = ("mean", "low", "high", "n")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    mean: float
    low: float
    high: float
    n: int
    def __init__(self, mean: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., n: _Optional[int] = ...) -> None: ...

class ComparePathSummary(_message.Message):
    __slots__ = ("path", "settings", "index_bytes", "index_build_seconds", "metrics", "latency_ms", "read_tokens")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CompareInterval
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CompareInterval, _Mapping]] = ...) -> None: ...
    class LatencyMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PATH_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    INDEX_BYTES_FIELD_NUMBER: _ClassVar[int]
    INDEX_BUILD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    path: str
    settings: _struct_pb2.Struct
    index_bytes: int
    index_build_seconds: float
    metrics: _containers.MessageMap[str, CompareInterval]
    latency_ms: _containers.ScalarMap[str, float]
    read_tokens: float
    def __init__(self, path: _Optional[str] = ..., settings: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., index_bytes: _Optional[int] = ..., index_build_seconds: _Optional[float] = ..., metrics: _Optional[_Mapping[str, CompareInterval]] = ..., latency_ms: _Optional[_Mapping[str, float]] = ..., read_tokens: _Optional[float] = ...) -> None: ...

class ComparePair(_message.Message):
    __slots__ = ("a", "b", "metric", "difference", "low", "high", "p")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    def __init__(self, a: _Optional[str] = ..., b: _Optional[str] = ..., metric: _Optional[str] = ..., difference: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., p: _Optional[float] = ...) -> None: ...

class CompareCurve(_message.Message):
    __slots__ = ("title", "x_label", "y_label", "x", "series")
    class Series(_message.Message):
        __slots__ = ("y",)
        Y_FIELD_NUMBER: _ClassVar[int]
        y: _containers.RepeatedScalarFieldContainer[float]
        def __init__(self, y: _Optional[_Iterable[float]] = ...) -> None: ...
    class SeriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CompareCurve.Series
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CompareCurve.Series, _Mapping]] = ...) -> None: ...
    TITLE_FIELD_NUMBER: _ClassVar[int]
    X_LABEL_FIELD_NUMBER: _ClassVar[int]
    Y_LABEL_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    title: str
    x_label: str
    y_label: str
    x: _containers.RepeatedScalarFieldContainer[float]
    series: _containers.MessageMap[str, CompareCurve.Series]
    def __init__(self, title: _Optional[str] = ..., x_label: _Optional[str] = ..., y_label: _Optional[str] = ..., x: _Optional[_Iterable[float]] = ..., series: _Optional[_Mapping[str, CompareCurve.Series]] = ...) -> None: ...

class CompareBank(_message.Message):
    __slots__ = ("documents", "tokens", "near_bytes", "far_bytes")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEAR_BYTES_FIELD_NUMBER: _ClassVar[int]
    FAR_BYTES_FIELD_NUMBER: _ClassVar[int]
    documents: int
    tokens: int
    near_bytes: int
    far_bytes: int
    def __init__(self, documents: _Optional[int] = ..., tokens: _Optional[int] = ..., near_bytes: _Optional[int] = ..., far_bytes: _Optional[int] = ...) -> None: ...

class CompareMachine(_message.Message):
    __slots__ = ("cpu", "cores", "memory_gb", "python", "torch", "threads")
    CPU_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GB_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    TORCH_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    cpu: str
    cores: int
    memory_gb: float
    python: str
    torch: str
    threads: int
    def __init__(self, cpu: _Optional[str] = ..., cores: _Optional[int] = ..., memory_gb: _Optional[float] = ..., python: _Optional[str] = ..., torch: _Optional[str] = ..., threads: _Optional[int] = ...) -> None: ...

class CompareSummary(_message.Message):
    __slots__ = ("complete", "paths", "pairs", "curves", "bank", "model", "machine", "settings", "warnings")
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    PAIRS_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    paths: _containers.RepeatedCompositeFieldContainer[ComparePathSummary]
    pairs: _containers.RepeatedCompositeFieldContainer[ComparePair]
    curves: _containers.RepeatedCompositeFieldContainer[CompareCurve]
    bank: CompareBank
    model: _bank_pb2.Identity
    machine: CompareMachine
    settings: CompareSettings
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, complete: bool = ..., paths: _Optional[_Iterable[_Union[ComparePathSummary, _Mapping]]] = ..., pairs: _Optional[_Iterable[_Union[ComparePair, _Mapping]]] = ..., curves: _Optional[_Iterable[_Union[CompareCurve, _Mapping]]] = ..., bank: _Optional[_Union[CompareBank, _Mapping]] = ..., model: _Optional[_Union[_bank_pb2.Identity, _Mapping]] = ..., machine: _Optional[_Union[CompareMachine, _Mapping]] = ..., settings: _Optional[_Union[CompareSettings, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class CompareEvent(_message.Message):
    __slots__ = ("progress", "path_skipped", "result", "summary")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PATH_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    progress: CompareProgress
    path_skipped: ComparePathSkipped
    result: CompareResult
    summary: CompareSummary
    def __init__(self, progress: _Optional[_Union[CompareProgress, _Mapping]] = ..., path_skipped: _Optional[_Union[ComparePathSkipped, _Mapping]] = ..., result: _Optional[_Union[CompareResult, _Mapping]] = ..., summary: _Optional[_Union[CompareSummary, _Mapping]] = ...) -> None: ...
