"""Made-up chains: answerable from their evidence, reproducible, as hard as asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from memsvc_router.training.chains import ChainOptions, make_chains
from memsvc_router.training.rows import TrainingSet, read_set, write_set

SMALL = ChainOptions(questions=150, seed=5, crowd=2)


@pytest.fixture(scope="module")
def made() -> TrainingSet:
    return make_chains(SMALL)


def test_every_answer_stands_in_its_last_passages_text(made: TrainingSet) -> None:
    texts = {passage.id: passage.text for passage in made.passages}
    for question in made.questions:
        if question.gen_ok and "comparison" not in question.type:
            assert question.answers[0] in texts[question.evidence[-1]]


def test_each_passage_of_a_chain_leads_to_the_next(made: TrainingSet) -> None:
    by_id = {passage.id: passage for passage in made.passages}
    for question in made.questions:
        if "comparison" not in question.type:
            for one, other in zip(question.evidence, question.evidence[1:], strict=False):
                assert by_id[other].title.split(" (")[0] in by_id[one].text


def test_the_set_passes_its_own_check(made: TrainingSet, tmp_path: Path) -> None:
    folder = tmp_path
    write_set(folder, made)
    assert read_set(folder) == made


def test_a_seed_makes_the_same_set_and_another_makes_another(made: TrainingSet) -> None:
    assert make_chains(SMALL) == made
    other = make_chains(ChainOptions(questions=20, seed=6))
    assert not {q.question for q in other.questions} & {q.question for q in made.questions}


def test_the_mix_is_followed_with_two_to_four_passages() -> None:
    made = make_chains(ChainOptions(questions=30, mix={"chain4": 1.0}))
    assert {len(question.evidence) for question in made.questions} == {4}
    with pytest.raises(ValueError, match="no such type 'chain9'"):
        make_chains(ChainOptions(questions=1, mix={"chain9": 1.0}))


def test_lookalikes_share_names_and_titles_stay_apart() -> None:
    plain = make_chains(ChainOptions(questions=5, crowd=100, lookalikes=0.0))
    alike = make_chains(ChainOptions(questions=5, crowd=100, lookalikes=0.9))
    assert _shared(alike) > _shared(plain)
    titles = [passage.title for passage in alike.passages]
    assert len(set(titles)) == len(titles)


def test_taken_names_do_not_come_up(made: TrainingSet) -> None:
    taken = frozenset(passage.title.lower() for passage in made.passages)
    other = make_chains(ChainOptions(questions=20, seed=5, crowd=2, taken=taken))
    assert not {p.title.lower() for p in other.passages} & taken


def _shared(found: TrainingSet) -> int:
    """Passages whose title's last word another has too."""
    ends = Counter(passage.title.split()[-1] for passage in found.passages)
    return sum(count for count in ends.values() if count > 1)
