"""How a decoder is trained: stages, modes and sizes (MSA §5). Knows numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Stage = Literal["warmup", "main", "sft"]
Mode = Literal["full", "lora", "router"]

# Weights of L_LM and L_aux, and the peak rate, by stage.
_WEIGHTS = {"warmup": (0.1, 1.0), "main": (1.0, 0.1), "sft": (1.0, 0.1)}
_RATES = {"warmup": 1e-4, "main": 6e-6, "sft": 6e-6}


@dataclass(frozen=True)
class DecoderTraining:
    """Options of `decoder_task`. Raises ValueError naming the option that is wrong.

    questions: samples of one step. documents: of the step's pool for each question, beside what it
    needs (mined negatives, then others of its data set). max_tokens: longest part of a document,
    and longest question with the texts read. numbers: documents are numbered below it, anew each
    step, so that the model reads numbers instead of remembering them. context: tokens of those
    documents in the stage `sft`, at its start and at its end, which is `context_steps` later.
    """

    stage: Stage = "warmup"
    mode: Mode = "full"
    freeze_backbone: bool = False
    questions: int = 8
    documents: int = 4
    max_tokens: int = 2048
    numbers: int = 1_000_000
    rate: float | None = None
    lora_rank: int = 16
    gradient_checkpointing: bool = False
    context: tuple[int, int] = (8192, 65536)
    context_steps: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("stage", Stage), ("mode", Mode)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name}: expected one of {get_args(kind)}, got {getattr(self, name)!r}"
                )
        for name in ("questions", "documents", "lora_rank", "context_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.max_tokens < 64:
            raise ValueError(f"max_tokens: must be at least 64, got {self.max_tokens}")
        if self.numbers < 2:
            raise ValueError(f"numbers: must be at least 2, got {self.numbers}")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"rate: must be above 0, got {self.rate}")
        if not 1 <= self.context[0] <= self.context[1]:
            raise ValueError(f"context: expected two growing token counts, got {self.context}")
        if self.freeze_backbone and self.stage != "warmup":
            raise ValueError(f"freeze_backbone: is for the stage warmup, got {self.stage}")

    @property
    def weights(self) -> tuple[float, float]:
        """Of L_LM and of L_aux."""
        return _WEIGHTS[self.stage]

    @property
    def peak_rate(self) -> float:
        """The peak learning rate."""
        return self.rate or _RATES[self.stage]

    def context_at(self, step: int) -> int | None:
        """Tokens that the documents of this step hold: doubled from the first length to the last,
        each length for as many steps. None where the pool is counted in documents instead."""
        if self.stage != "sft":
            return None
        first, last = self.context
        lengths = [first]
        while lengths[-1] < last:
            lengths.append(min(2 * lengths[-1], last))
        return lengths[min(step * len(lengths) // self.context_steps, len(lengths) - 1)]
