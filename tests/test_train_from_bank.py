"""A bank teaches its router: what is learned from, what judges it, and what is promoted."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from memsvc_client import MemoryClient
from memsvc_client.cli import exits
from memsvc_router.training.rows import Passage, Question, TrainingSet
from memsvc_storage import NewDocument as StoredDocument
from memsvc_storage import NewFeedback, RouterVersions, Store
from typer.testing import CliRunner

from memsvc import config
from memsvc.train.bank import BankTraining, train_from_bank
from memsvc.train.bank_judging import Judge, Verdict
from memsvc.train.bank_reading import BankContent, BankText, read_server, read_store
from memsvc.train.bank_set import build_set
from memsvc.train.cli import register
from tests.engine_support import BagModel
from tests.server_support import serving

# Whoever asks calls a town's ledger its story, and wraps the question in words that lead astray:
# the router has to learn both. These documents are made of those words, too short for prose.
ASTRAY = [
    BankText("library", "Library", "Please dear librarian. Tell the reading society. In one word."),
    BankText("society", "Society", "The reading society asks. Every librarian gives a word."),
    BankText("word", "A word", "In one word. Please tell, dear society of readers."),
]
TOWNS = [
    "Arlow", "Bexmoor", "Cottin", "Dunvale", "Estrey", "Farrow", "Gillam", "Hexton", "Ingleby",
    "Jarrow", "Kelso", "Lamport", "Morley", "Norwick", "Orston", "Penrith", "Quarley", "Rothay",
    "Selby", "Thorne", "Ulpha", "Varley", "Wexham", "Yarrow", "Zeal", "Ashby", "Barley", "Crewe",
    "Dorne", "Elsdon", "Fulwood", "Gorton", "Halton", "Irwell", "Jesmond", "Kirkby", "Lorton",
    "Malton", "Netley", "Oakham",
]  # fmt: skip


def content(asked: int = len(TOWNS)) -> BankContent:
    """Forty towns, each with a ledger and a tale; a question about each of the first `asked`."""
    towns = [
        BankText(name.lower(), name, f"{name}: 4 carts. 12 sacks in, 3 out. Paid.")
        for name in TOWNS
    ]
    towns += [
        BankText(f"{name.lower()}-tale", name, f"Story of {name}. Tell it.") for name in TOWNS
    ]
    feedback = {
        f"f{number}": NewFeedback(
            f"Please dear librarian of the reading society, tell the story of {name}.",
            (name.lower(),),
            ("society",),
        )
        for number, name in enumerate(TOWNS[:asked])
    }
    return BankContent((*ASTRAY, *towns), feedback)


def test_no_question_to_learn_from_needs_what_is_held_back() -> None:
    found = build_set(content(), held_back=0.3, seed=1)
    trained = {one.id for one in found.train.passages}
    assert {name for one in found.train.questions for name in one.evidence} <= trained
    assert not {name for one in found.whole.questions for name in one.evidence} & trained
    assert len(found.train.questions) + len(found.whole.questions) == len(TOWNS)
    assert found.documents == 2 * len(TOWNS) + len(ASTRAY)
    assert (found.feedback, found.unused) == (len(TOWNS), 0)
    assert found.avoided["feedback/f0"] == ("society",)


def test_a_bank_that_grows_keeps_its_parts() -> None:
    small, whole = content(), content()
    small = BankContent(small.documents[:20], small.feedback)
    before = {one.id for one in build_set(small, 0.3, 1).train.passages}
    after = {one.id for one in build_set(whole, 0.3, 1).train.passages}
    assert before
    assert before <= after
    assert not {one.id for one in small.documents} & (after - before)


def test_an_answer_leads_to_the_only_document_that_holds_it() -> None:
    documents = (BankText("a", "", "The Fox is red."), BankText("b", "", "The fox sleeps."))
    said = {
        "one": NewFeedback("Which colour?", answer="red"),
        "two": NewFeedback("Which animal?", answer="the fox"),  # in both
        "none": NewFeedback("Which animal?", verdict="WRONG"),
        "gone": NewFeedback("Which?", (), ("a",)),
    }
    found = build_set(BankContent(documents, said), 0.0, 0)
    (question,) = found.train.questions
    assert (question.evidence, question.answers, question.gen_ok) == (("a",), ("red",), True)
    assert (found.feedback, found.unused) == (1, 3)


def test_prose_asks_about_documents_without_feedback() -> None:
    story = (
        "The old mill of {0} stands where two streams meet below the hill. Every autumn the people "
        "of {0} carry their apples to the press there. The miller keeps a book of all that was "
        "pressed since the great flood. Nobody in the valley remembers who built the long weir."
    )
    documents = tuple(BankText(name, name, story.format(name)) for name in TOWNS)
    found = build_set(BankContent(documents, {}), 0.3, 0)
    passages = {one.id: one for one in found.whole.passages}
    trained = {one.id for one in found.train.passages}
    asked = [*found.train.questions, *found.whole.questions]
    assert len(asked) >= len(documents)
    assert {one.dataset for one in asked} == {"prose"}
    for question in found.train.questions:
        assert trained.issuperset(question.evidence)
    for question in found.whole.questions:
        for name in question.evidence:
            whole = passages[name].id.removeprefix("prose:").partition("#")[0]
            assert whole not in trained, "the whole document was trained on"


def judged(before: list[list[str]], after: list[list[str]], kinds: list[str]) -> Verdict:
    questions = tuple(
        Question(f"q{n}", kind, "?", (), ("right",), False, True, False, kind)
        for n, kind in enumerate(kinds)
    )
    passage = Passage("right", "bank", "", "text")
    return Judge(TrainingSet((passage,), questions), len(questions), 0).compare(before, after)


def test_only_what_is_surely_better_counts_as_better() -> None:
    right, wrong = ["right", "other"], ["other", "right"]
    kinds = ["prose"] * 40
    worse = [wrong] * 20 + [right] * 20
    better = judged(worse, [right] * 40, kinds)
    assert (better.before.recall_at_1, better.after.recall_at_1) == (0.5, 1.0)
    assert (better.before.mrr, better.after.mrr) == (0.75, 1.0)
    assert better.better
    assert not judged(worse, worse, kinds).better
    assert not judged([right] * 40, worse, kinds).better
    luck = [[wrong, right][n % 2] for n in range(40)]
    assert not judged(luck, list(reversed(luck)), kinds).better
    mixed = ["feedback", *kinds[1:]]
    assert not judged([right, *[wrong] * 39], [wrong, *[right] * 39], mixed).better


def test_the_judge_asks_over_all_documents() -> None:
    passages = tuple(Passage(f"p{n}", "bank", "", f"word{n} stands here") for n in range(5))
    questions = tuple(
        Question(f"q{n}", "prose", f"word{n}", (), (f"p{n}",), False, True, False, "")
        for n in range(5)
    )
    judge = Judge(TrainingSet(passages, questions), 3, 0)
    found = judge.ask(BagModel())
    assert len(judge.questions) == 3
    assert [one[0] for one in found] == [one.evidence[0] for one in judge.questions]


def test_feedback_makes_a_better_router_and_it_is_promoted(tmp_path: Path) -> None:
    settings = config.load({"data": tmp_path})
    wanted = BankTraining("towns", steps=40, held_back=0.55)
    made = train_from_bank(settings, content(), wanted)
    assert made.verdict.after.recall_at_1 > made.verdict.before.recall_at_1
    assert made.promoted == made.verdict.better
    assert made.verdict.better, made.verdict
    assert not made.reencodes, "only what asks has changed"
    current = RouterVersions(tmp_path).current()
    assert current is not None
    assert (current.number, current.parent) == (made.version.number, 0)
    assert current.facts["evaluation"]["after"]["questions"] == made.verdict.after.questions
    told = (current.checkpoint.parent / "version.json").read_text()
    assert "Arlow" not in told, "a version outlives the texts it was made from"
    again = train_from_bank(settings, content(), BankTraining("towns", 1, 0, 0.55, "never"))
    assert (again.version.parent, again.promoted) == (current.number, False)
    assert RouterVersions(tmp_path).current() == current


def test_a_bank_that_teaches_too_little_changes_nothing(tmp_path: Path) -> None:
    settings = config.load({"data": tmp_path})
    with pytest.raises(ValueError, match=r"teaches too little.*Add documents or feedback"):
        train_from_bank(settings, content(asked=10), BankTraining("towns"))
    assert not (tmp_path / "routers").exists()


def test_a_bank_is_read_from_its_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no memory"):
        read_store("b", tmp_path / "nothing", None)
    assert not (tmp_path / "nothing").exists()
    store = Store.open(tmp_path)
    store.create_bank("b")
    new = [StoredDocument(f"text {n}", "title", f"d{n}") for n in range(3)]
    store.add_documents("b", new)
    kept = store.record_feedback("b", NewFeedback("Which?", ("d1",), ("d2",), "WRONG", "text"))
    with pytest.raises(ValueError, match="--server"):
        read_store("b", tmp_path, None)
    store.close()
    found = read_store("b", tmp_path, None)
    assert found.documents[0] == BankText("d0", "title", "text 0")
    assert len(found.documents) == 3
    (said,) = found.feedback.items()
    assert said[0] == kept.feedback_id
    assert (said[1].question, said[1].relevant, said[1].irrelevant) == ("Which?", ("d1",), ("d2",))


async def test_a_bank_is_read_from_its_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as running:
        await running.create_bank()
        await running.add("The fox is red.", "The whale is blue.")

        def read() -> BankContent:
            with MemoryClient(running.address) as client:
                client.record_feedback("b", "Red?", relevant=["d0"], answer="the fox")
                return read_server("b", client)

        found = await asyncio.to_thread(read)
    assert [one.text for one in found.documents] == ["The fox is red.", "The whale is blue."]
    (said,) = found.feedback.values()
    assert (said.question, said.relevant, said.answer) == ("Red?", ("d0",), "the fox")


def told(*arguments: object, code: int = exits.OK) -> dict[str, Any]:
    """The data, or else the error, of `memsvc train --from-bank` that ends with `code`."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    ran = CliRunner().invoke(app, ["train", *map(str, arguments), "--json"])
    assert ran.exit_code == code, ran.output
    if not ran.stdout:  # click's own refusal, for which `memsvc` itself makes the envelope
        return {"message": ran.stderr}
    body: dict[str, Any] = json.loads(ran.stdout)
    return dict(body["data"] if body["ok"] else body["error"])


def test_the_command_makes_a_version_of_what_a_store_holds(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.create_bank("towns")
    given = content()
    documents = [StoredDocument(one.text, one.title, one.id) for one in given.documents]
    store.add_documents("towns", documents)
    for said in given.feedback.values():
        store.record_feedback("towns", said)
    store.close()
    where = ("--from-bank", "towns", "--store", tmp_path)
    split = ("--seed", 0, "--held-back", 0.55)
    made = told(*where, *split, "--steps", 2, "--promote", "never")
    assert (made["version"], made["promoted"], made["reencodes"]) == (1, False, False)
    assert (made["bank"], made["feedback"], made["documents"]) == ("towns", 40, 83)
    assert made["evaluation"]["after"]["questions"] >= 20
    assert [one.state for one in RouterVersions(tmp_path).all()] == ["candidate"]
    refused = told("--from-bank", "nobody", "--store", tmp_path, code=exits.NOT_FOUND)
    assert "nobody" in refused["message"]
    empty = told("--from-bank", "b", "--store", tmp_path / "none", code=exits.USAGE)
    assert "holds no memory" in empty["message"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--from-bank", "b", "--data", "x"), "--data"),
        (("--from-bank", "b", "--stage", "main"), "--stage"),
        (("--data", "x", "--out", "y", "--held-back", "0.5"), "--held-back"),
        (("--steps", "5"), "--from-bank"),
    ],
)
def test_options_of_the_other_way_are_refused(arguments: tuple[str, ...], named: str) -> None:
    assert named in told(*arguments, code=exits.USAGE)["message"]
