"""Which words of a path are the answer, given where its start and its end may stand."""

from __future__ import annotations

import torch
from memsvc_router.reading import best_span
from memsvc_router.texts import PathInput

# One marker, then ten tokens of a first text, then ten of a second; a token is ten characters.
_SOURCES = [(-1, 0, 0), *((n, 10 * i, 10 * i + 9) for n in (0, 1) for i in range(10))]
_PATH = PathInput([0] * 21, [0] * 21, _SOURCES)


def _logits(chances: dict[int, float]) -> torch.Tensor:
    """Logits [T] of tokens with these chances, and next to none elsewhere."""
    found = torch.full((21,), 1e-6)
    for token, chance in chances.items():
        found[token] = chance
    return found.log()


def test_a_pointer_that_is_sure_is_believed() -> None:
    span, logprob = best_span(_PATH, _logits({13: 1.0}), _logits({15: 1.0}))
    assert span == (1, 20, 49)
    assert abs(logprob) < 1e-3


def test_words_that_many_likely_spans_share_beat_one_span_that_is_a_little_likelier() -> None:
    # Token 2 alone has 0.175; 12 to 14, 12 to 15 and 12 to 16 have 0.11 each.
    start, end = _logits({2: 0.35, 12: 0.65}), _logits({2: 0.5, 14: 0.166, 15: 0.167, 16: 0.167})
    span, logprob = best_span(_PATH, start, end)
    assert span == (1, 10, 49)  # in the midst of the three
    assert torch.isclose(torch.tensor(logprob).exp(), torch.tensor(0.175), atol=0.01)


def test_an_answer_never_runs_from_one_text_into_the_next() -> None:
    start, end = _logits({5: 0.1, 9: 0.9}), _logits({7: 0.1, 12: 0.9})
    span, logprob = best_span(_PATH, start, end)
    assert span == (0, 40, 69)  # 5 to 7, where 9 to 12 would be likelier
    assert torch.isclose(torch.tensor(logprob).exp(), torch.tensor(0.01), atol=0.001)


def test_a_path_without_texts_has_no_answer() -> None:
    nothing = PathInput([0], [0], [(-1, 0, 0)])
    assert best_span(nothing, torch.zeros(1), torch.zeros(1)) == (None, float("-inf"))
