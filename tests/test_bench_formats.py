"""Published sets are read as they are downloaded: banks, answers, evidence; what is wrong located.

The files here are a few records each, written by hand in the form of each download.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memsvc.bench.corpus import Corpus
from memsvc.bench.formats.choosing import FORMATS, detect, read_set
from memsvc.bench.lines import InputError
from tests.bench_support import PASSAGES, QUESTIONS, SETS, write

HOTPOT: dict[str, Any] = SETS["hotpot"][0]


def put(tmp_path: Path, name: str, value: Any) -> Path:
    path = tmp_path / name
    if path.suffix == ".jsonl":
        return write(path, value)
    path.write_text(json.dumps(value))
    return path


def texts(corpus: Corpus, bank: str = "") -> dict[str, str]:
    return {passage.id: passage.text for passage in corpus.banks[bank]}


@pytest.mark.parametrize("name", ["hotpot", "2wiki", "musique", "nq", "squad"])
def test_each_format_is_known_by_its_looks(tmp_path: Path, name: str) -> None:
    ending = "jsonl" if name in ("musique", "nq") else "json"
    path = put(tmp_path, f"set.{ending}", SETS[name])
    assert detect(path) == name
    corpus = read_set(path)
    assert corpus.missing_evidence() == []
    assert all(question.evidence for question in corpus.questions if question.answers)


def test_hotpot_pools_the_paragraphs_of_all_questions(tmp_path: Path) -> None:
    other = {
        **HOTPOT,
        "_id": "h2",
        "context": [["Kettle", ["Another kettle."]], ["Cats", ["Two."]]],
    }
    corpus = read_set(put(tmp_path, "h.json", [HOTPOT, other]))
    assert texts(corpus) == {
        "Kettle": "The kettle is green. Odile painted it.",
        "Odile": "Odile lives in Trondheim.",
        "Kettle (2)": "Another kettle.",
        "Cats": "Two.",
    }
    first, second = corpus.questions
    assert (first.answers, first.evidence) == (("Trondheim",), ("Kettle", "Odile"))
    assert second.evidence == ("Kettle (2)", "Odile")  # the second of them: not in its context


def test_evidence_in_no_passage_is_told_and_kept(tmp_path: Path) -> None:
    fullwiki = {**HOTPOT, "context": [["Cats", ["Two."]]]}
    corpus = read_set(put(tmp_path, "h.json", [fullwiki]))
    assert corpus.questions[0].evidence == ("Kettle", "Odile")
    assert corpus.all_warnings() == [
        "2 evidence ids are in no passage and count as not found: Kettle, Odile"
    ]


def test_musique_does_not_score_what_only_its_own_paragraphs_do_not_say(tmp_path: Path) -> None:
    corpus = read_set(put(tmp_path, "m.jsonl", SETS["musique"]))
    assert [question.answers for question in corpus.questions] == [("Odile", "O."), None]
    assert "1 questions that their own paragraphs do not answer" in corpus.all_warnings()[0]


def test_nq_takes_the_outermost_candidates_without_tags(tmp_path: Path) -> None:
    corpus = read_set(put(tmp_path, "n.jsonl", SETS["nq"]))
    assert texts(corpus) == {"7#0": "Odile painted the kettle", "7#2": "It is green"}
    assert corpus.questions[0].answers == ("Odile",)
    assert corpus.questions[0].evidence == ("7#0",)
    assert [question.answers for question in corpus.questions[1:]] == [(), ("yes",), None]


def test_squad_abstains_from_what_is_impossible(tmp_path: Path) -> None:
    corpus = read_set(put(tmp_path, "s.json", SETS["squad"]))
    first, second = corpus.questions
    assert (first.answers, first.evidence) == (("Odile",), ("The Kettle",))
    assert (second.answers, second.evidence) == ((), ())


def test_nq_open_asks_our_own_passages(tmp_path: Path) -> None:
    path = put(tmp_path, "o.jsonl", [{"question": "who painted it", "answer": ["Odile"]}])
    corpus = read_set(path, [write(tmp_path / "p.jsonl", PASSAGES)])
    assert (detect(path), len(corpus.banks[""])) == ("nq-open", 4)
    assert corpus.questions[0].answers == ("Odile",)


def test_locomo_makes_a_bank_of_each_conversation(tmp_path: Path) -> None:
    corpus = read_set(put(tmp_path, "locomo10.json", SETS["locomo"]))
    assert texts(corpus, "conv-1") == {
        "D1:1": "Ann: I sold the boat.",
        "D1:2": "Bob: Look! [shows a picture: two oars]",
    }
    assert corpus.banks["conv-1"][0].event_time == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    boat, oars, year = corpus.questions
    assert (boat.answers, boat.evidence, boat.bank) == (("the boat",), ("D1:1", "D1:2"), "conv-1")
    assert (oars.answers, oars.evidence) == ((), ())
    assert year.answers == ("2023",)


def test_longmemeval_makes_a_bank_of_each_haystack(tmp_path: Path) -> None:
    corpus = read_set(put(tmp_path, "longmemeval_s.json", SETS["longmemeval"]))
    said, never, lost = corpus.questions
    assert texts(corpus, "l1") == {"s1:0": "user: I sold the boat.", "s1:1": "assistant: I see."}
    assert corpus.banks["l1"][0].event_time == datetime(2023, 5, 20, 2, 21, tzinfo=UTC)
    assert (said.answers, said.evidence) == (("the boat",), ("s1:0",))
    assert (never.answers, never.evidence) == ((), ())
    assert lost.evidence == ("s9",)
    assert corpus.missing_evidence() == ["s9"]
    assert list(read_set(tmp_path / "longmemeval_s.json", limit=1).banks) == ["l1"]


def test_beam_reads_a_directory_of_conversations(tmp_path: Path) -> None:
    chat, asked = SETS["beam"]
    for name in ("1", "2"):
        (tmp_path / "100K" / name / "probing_questions").mkdir(parents=True)
        put(tmp_path, f"100K/{name}/chat.json", chat)
        put(tmp_path, f"100K/{name}/probing_questions/probing_questions.json", asked)
    corpus = read_set(tmp_path / "100K")
    assert list(corpus.banks) == ["1", "2"]
    assert list(texts(corpus, "1")) == ["7", "8", "7'"]
    said, nested, never = [question for question in corpus.questions if question.bank == "2"]
    assert (said.answers, said.evidence) == (("cobalt",), ("7",))
    assert (nested.answers, nested.evidence) == (("teal",), ("7", "8"))
    assert (never.answers, never.evidence) == ((), ())
    assert list(read_set(tmp_path / "100K" / "1").banks) == ["1"]


def beir(tmp_path: Path, qrels: str) -> Path:
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": p["id"], "title": p["title"], "text": p["text"]} for p in PASSAGES]
    write(folder / "corpus.jsonl", [*corpus, {"_id": "b", "title": "", "text": ""}])
    write(folder / "queries.jsonl", [{"_id": 1, "text": "kettle"}, {"_id": 2, "text": "none"}])
    (folder / "qrels" / "test.tsv").write_text(qrels)
    (folder / "qrels" / "train.tsv").write_text("2\tp1\t1\n")
    return folder


def test_beir_has_graded_relevance_and_no_answers(tmp_path: Path) -> None:
    table = "query-id\tcorpus-id\tscore\n1\tp1\t1\n1\tp2\t2\n1\tp3\t0\n1\tp99\t1\n"
    corpus = read_set(beir(tmp_path, table))
    (question,) = corpus.questions
    assert (question.answers, question.evidence) == (None, ("p2", "p1", "p99"))
    assert question.grades == {"p2": 2, "p1": 1, "p99": 1}
    blank, missing = corpus.all_warnings()
    assert "1 documents without any text" in blank
    assert "1 evidence ids are in no passage" in missing


def test_a_bad_row_of_judgements_is_named(tmp_path: Path) -> None:
    folder = beir(tmp_path, "query-id\tcorpus-id\tscore\n1\tp1\n")
    with pytest.raises(InputError, match=r"test\.tsv:2: not three columns"):
        read_set(folder)


BROKEN: list[tuple[str, Any, str]] = [
    ("h.json", [HOTPOT, {**HOTPOT, "context": [["x"]]}], r"h\.json, entry 2: 'context' must hold"),
    ("h.json", [{**HOTPOT, "supporting_facts": ["x"]}], r"entry 1: 'supporting_facts' must hold"),
    ("h.json", [{**HOTPOT, "answer": ""}], r"entry 1: 'answer' is empty"),
    ("h.json", [HOTPOT, 3], r"h\.json, entry 2: must be an object"),
    ("s.json", {"data": [{"paragraphs": [{"context": "x"}]}]}, r"data 1, paragraphs 1: 'qas' must"),
    ("m.jsonl", [{"question": "x", "paragraphs": [{}]}], r"m\.jsonl:1, paragraphs 1: 'paragraph_"),
    ("l.json", [{"conversation": {}, "qa": []}], r"entry 1: 'sample_id' must be a string"),
    ("e.json", [{"x": 1, "y": 2}], r"of no known format \(its first object has x, y\)"),
    ("e.json", [], "no questions"),
    ("e.jsonl", [], "no questions"),
]


@pytest.mark.parametrize(("name", "value", "problem"), BROKEN)
def test_a_malformed_record_is_named_by_its_place(
    tmp_path: Path, name: str, value: Any, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        read_set(put(tmp_path, name, value))


def test_json_that_breaks_off_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[\n{"a": 1},\n{"b": \n')
    with pytest.raises(InputError, match=r"x\.json:4: not JSON"):
        read_set(tmp_path / "x.json")


def test_passages_are_asked_for_exactly_where_they_are_needed(tmp_path: Path) -> None:
    ours, theirs = write(tmp_path / "q.jsonl", QUESTIONS), put(tmp_path, "h.json", [HOTPOT])
    with pytest.raises(InputError, match="memsvc needs --passages"):
        read_set(ours)
    with pytest.raises(InputError, match="hotpot brings its own passages"):
        read_set(theirs, [ours])


def test_a_format_can_be_named_and_an_unknown_one_names_the_known(tmp_path: Path) -> None:
    path = put(tmp_path, "h.json", [HOTPOT])
    assert len(read_set(path, format="2wiki").questions) == 1
    with pytest.raises(InputError, match=f"unknown format 'x'; there are {', '.join(FORMATS)}"):
        read_set(path, format="x")
