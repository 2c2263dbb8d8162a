"""The smallest decoder that shows the architecture at work, and tasks made up for it.

Worlds of things, their keepers and what these keep, no two worlds alike: "what comes from K17 ?"
takes one document, "what comes from whoever has T3 ?" two. Nothing can be known by heart, so a
model that answers has learnt to route, to name what it was routed to, to read and to stop. Numbers
and names are one token each, and the heads begin as heads of trained decoders are (`_match_heads`):
that keeps it to minutes of one processor. Knows words and shapes; the training is that of every
decoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedModel, Qwen3Config

from memsvc_router.api import AskOptions, DocumentText, Done, Hop, Sampling, Step
from memsvc_router.decoder.attention import attention_modules
from memsvc_router.decoder.config import SETTINGS
from memsvc_router.decoder.initialise import init_checkpoint
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.source import CONFIG, TEMPLATE_TOKENS, TOKENIZER, read_config
from memsvc_router.memory import ResidentMemory
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.rows import Passage, Question, TrainingSet

THINGS = KEEPERS = 40  # names of each kind
CODES = 64
NUMBERS = 192  # documents are numbered below it
POOL_SIZE, TOP_K = 4, 2
STEPS = 1500
LEARNING = DecoderTraining(
    stage="main", rate=0.003, questions=32, documents=1, max_tokens=256, numbers=NUMBERS, seed=1
)
TRAINING = tuple(  # the same as options of `memsvc train`
    f"--stage {LEARNING.stage} --fp32 --steps {STEPS} --rate {LEARNING.rate} "
    f"--questions {LEARNING.questions} --documents {LEARNING.documents} "
    f"--max-tokens {LEARNING.max_tokens} --numbers {NUMBERS} --seed {LEARNING.seed}".split()
)
_LINKED = 24  # things of one world, each with a keeper of its own
_OTHERS = 16  # keepers of one world that no thing is with
_SENTENCES = ("{} beside {}", "{} keeps {}")
_ONE_HOP, _TWO_HOPS = "what comes from {} ?", "what comes from whoever has {} ?"
_WORD_SPREAD, _SPREAD, _COPIED, _SOFT = 0.1, 0.02, 60.0, 0.3  # see `_match_heads`
_TEMPLATE = (
    "user Please answer the question based on above historical document information return all "
    "documents related to The s is < > - End of Retrieve . : ' [ ]"
)
_PATTERN = r"<End-of-Retrieve>|\w+|\n|[^\w\s]"


@dataclass(frozen=True)
class TinyScores:
    """Shares of questions. one_hop, two_hops: answered exactly; recall: of the documents to be
    found, those routed to first among what was not read yet."""

    one_hop: float
    two_hops: float
    recall: float


def write_base(
    out: Path,
    seed: int = 0,
    router_layers: str = "upper-half",
    settings: Mapping[str, object] | None = None,
) -> None:
    """Write a random decoder, with routers and a vocabulary of its own, to the directory `out`.

    router_layers: see `init_checkpoint`; settings: fields of `msa_config` that differ.
    """
    tokenizer = _tokenizer()
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        initializer_range=_SPREAD,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as plain:
        torch.manual_seed(seed)
        network = AutoModelForCausalLM.from_config(config)
        network.get_input_embeddings().weight.data.normal_(0, _WORD_SPREAD)
        _match_heads(network)
        network.save_pretrained(plain)
        tokenizer.save(str(Path(plain) / TOKENIZER))
        described = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
        (Path(plain) / "tokenizer_config.json").write_text(json.dumps(described))
        init_checkpoint(plain, out, POOL_SIZE, TOP_K, router_layers, seed)
    body = read_config(out)
    body[SETTINGS] |= settings or {}
    (out / CONFIG).write_text(json.dumps(body, indent=2) + "\n")


def _match_heads(network: PreTrainedModel) -> None:
    """Let every head but the first layer's begin by looking for its own token and telling what it
    saw there; those of the first look about more evenly.

    Their queries start as their keys, their output as their values turned back (random matrices
    still): pretrained heads look like this, and learning it from nothing takes longer than all
    the rest.
    """
    for layer, module in attention_modules(network).items():
        if not layer:
            module.get_submodule("q_norm").get_parameter("weight").data.fill_(_SOFT)
            continue
        weight = {
            name: module.get_submodule(f"{name}_proj").get_parameter("weight") for name in "qkvo"
        }
        weight["q"].data = weight["k"].detach().clone()
        weight["o"].data = _COPIED * weight["v"].detach().T.clone()


def make_worlds(count: int, seed: int, first: int = 0) -> TrainingSet:
    """Worlds `first`, `first` + 1, …: each a data set of 64 passages and 64 questions."""
    passages: list[Passage] = []
    questions: list[Question] = []
    for world in range(first, first + count):
        some, asked = _world(f"world-{world}", np.random.default_rng([seed, world]))
        passages += some
        questions += asked
    return TrainingSet(tuple(passages), tuple(questions))


def evaluate(
    model: DecoderMemoryModel,
    data: TrainingSet,
    questions: Sequence[Question],
    max_hops: int = 4,
) -> TinyScores:
    """Ask questions of one world through the engine, over a bank of all its passages."""
    texts = [DocumentText(p.title, p.text, str(number)) for number, p in enumerate(data.passages)]
    names = [text.document_id for text in texts]
    bank = ResidentMemory(names, texts, model.encode(texts))
    index = data.index()
    right: dict[int, list[bool]] = {1: [], 2: []}
    found: list[bool] = []
    for question in questions:
        wanted = [str(index[name]) for name in question.evidence]
        hops, answer = _asked(model, bank, question.question, max_hops)
        right[len(wanted)].append(answer == question.answers[0])
        for at, name in enumerate(wanted):
            fresh = [h.document_id for h in hops[at].routed] if at < len(hops) else []
            fresh = [one for one in fresh if one not in hops[at].given] if fresh else []
            found.append(fresh[:1] == [name])
    return TinyScores(*(float(np.mean(x)) for x in (right[1], right[2], found)))


def _asked(
    model: DecoderMemoryModel, bank: ResidentMemory, question: str, max_hops: int
) -> tuple[list[Hop], str]:
    hops, answer = [], ""
    options = AskOptions(max_hops=max_hops, sampling=Sampling(max_tokens=4))
    for event in model.ask(bank, question, options):
        if isinstance(event, Step):
            model.run([event])
        elif isinstance(event, Hop):
            hops.append(event)
        elif isinstance(event, Done):
            answer = event.answer
    return hops, answer


def _world(name: str, random: np.random.Generator) -> tuple[list[Passage], list[Question]]:
    things = [f"T{n}" for n in random.permutation(THINGS)[:_LINKED]]
    keepers = [f"K{n}" for n in random.permutation(KEEPERS)[: _LINKED + _OTHERS]]
    codes = {keeper: f"V{random.integers(CODES)}" for keeper in keepers}
    passages: list[Passage] = []
    questions: list[Question] = []
    for kind, pairs in enumerate((zip(things, keepers, strict=False), codes.items())):
        for subject, value in pairs:
            text = _SENTENCES[kind].format(subject, value)
            passages.append(Passage(f"{name}/{subject}", name, "", text))
    for asked in keepers:
        text = _ONE_HOP.format(asked)
        questions.append(_question(name, asked, text, codes[asked], (f"{name}/{asked}",)))
    for thing, keeper in zip(things, keepers, strict=False):
        chain = f"{name}/{thing}", f"{name}/{keeper}"
        questions.append(_question(name, thing, _TWO_HOPS.format(thing), codes[keeper], chain))
    return passages, questions


def _question(name: str, asked: str, text: str, answer: str, chain: tuple[str, ...]) -> Question:
    kind = "two hops" if len(chain) == 2 else "one hop"
    return Question(f"{name}?{asked}", name, text, (answer,), chain, True, True, True, kind)


def _tokenizer() -> Tokenizer:
    """A word is a token."""
    words = ["<unk>", "\n", "<End-of-Retrieve>", *_TEMPLATE.split()]
    words += " ".join((*_SENTENCES, _ONE_HOP, _TWO_HOPS)).replace("{}", "").split()
    kinds = (("T", THINGS), ("K", KEEPERS), ("V", CODES), ("", NUMBERS))
    words += [f"{letter}{n}" for letter, count in kinds for n in range(count)]
    vocabulary = {word: at for at, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), "isolated"),
            pre_tokenizers.Split(" ", "removed"),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in TEMPLATE_TOKENS])
    return tokenizer
