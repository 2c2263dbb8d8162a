"""Embedders and rerankers by name: found, loaded and used as they are, or refused and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memsvc_router.api import AskOptions
from transformers import AutoModel, AutoTokenizer

from memsvc.retrieval import EmbedderError, PathSettings, RerankerError, Retrieval
from memsvc.retrieval.embedders import load_embedder
from memsvc.retrieval.rerankers import Reranker
from tests.engine_support import recalled
from tests.hub_support import running_hub
from tests.retrieval_support import BANK, filled, make_classifier, make_encoder, numbered

TEXTS = ["tea grows in green hills", "whales swim", "rome is the capital of italy"]
_ENV = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
_LOAD = """
import sys
from memsvc.retrieval.embedders import load_embedder
from memsvc.retrieval.errors import EmbedderError
try:
    print("loaded", load_embedder(sys.argv[1]).dimension)
except EmbedderError as error:
    print("refused", error)
"""


def test_the_bundled_embedder_knows_what_is_meant() -> None:
    embedder = load_embedder(None)
    vectors = embedder.documents(TEXTS)
    assert vectors.shape == (3, embedder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert int(np.argmax(vectors @ embedder.query("marine mammals"))) == 1
    assert embedder.digest == load_embedder(None).digest


def test_a_plain_encoder_gives_the_mean_of_its_states(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "encoder")
    embedder = load_embedder(str(folder))
    vectors = embedder.documents(TEXTS)
    assert vectors.shape == (3, embedder.dimension) == (3, 16)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = torch.nn.functional.normalize(states.mean(0), dim=0).numpy()
        np.testing.assert_allclose(vector, mean, atol=1e-5)  # padding counts for nothing
    np.testing.assert_allclose(embedder.query(TEXTS[1]), vectors[1], atol=1e-5)


def test_texts_longer_than_the_encoder_can_take_are_cut(tmp_path: Path) -> None:
    embedder = load_embedder(str(make_encoder(tmp_path)))
    long, longer = "whales swim " * 100, "whales swim " * 200
    np.testing.assert_allclose(embedder.query(long), embedder.query(longer), atol=1e-6)


def test_the_digest_changes_with_the_weights(tmp_path: Path) -> None:
    one = load_embedder(str(make_encoder(tmp_path / "one", seed=1)))
    other = load_embedder(str(make_encoder(tmp_path / "other", seed=2)))
    same = load_embedder(str(make_encoder(tmp_path / "same", seed=1)))
    assert one.digest == same.digest != other.digest


def test_an_embedder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="no such directory"):
        load_embedder(str(tmp_path / "nowhere"))
    with pytest.raises(EmbedderError, match=r"neither a config\.json nor a modules\.json"):
        load_embedder(str(tmp_path))


def test_an_embedder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EmbedderError, match="has no tokenizer"):
        load_embedder(str(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_embedder_is_refused_by_its_folder(tmp_path: Path, name: str) -> None:
    folder = make_encoder(tmp_path)
    (folder / name).write_bytes(b"not what it was")
    with pytest.raises(EmbedderError, match=str(folder)):
        load_embedder(str(folder))


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        load_embedder(str(folder))


@pytest.mark.skipif(bool(find_spec("sentence_transformers")), reason="the package is installed")
def test_without_its_package_a_sentence_transformer_is_refused(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path)
    (folder / "modules.json").write_text("[]")
    with pytest.raises(EmbedderError, match="needs the package sentence-transformers"):
        load_embedder(str(folder))


def test_a_sentence_transformer_pools_as_its_directory_says(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    encoder = make_encoder(tmp_path / "encoder")
    folder = make_encoder(tmp_path / "sentences")
    kinds = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Normalize").mkdir()
    pooling = folder / "1_Pooling" / "config.json"
    pooling.parent.mkdir()
    pooling.write_text('{"word_embedding_dimension": 16, "pooling_mode_mean_tokens": true}')
    mean = load_embedder(str(folder)).documents(TEXTS)
    np.testing.assert_allclose(mean, load_embedder(str(encoder)).documents(TEXTS), atol=1e-5)
    pooling.write_text('{"word_embedding_dimension": 16, "pooling_mode_cls_token": true}')
    first = load_embedder(str(folder)).documents(TEXTS)
    assert np.abs(first - mean).max() > 1e-2


def test_a_hub_id_is_fetched_without_its_pickles(tmp_path: Path) -> None:
    made = make_encoder(tmp_path / "made")
    (made / "pytorch_model.bin").write_bytes(b"not to be fetched")
    home = str(tmp_path / "home")
    with running_hub(made, "us/tiny") as hub:
        assert load("us/tiny", HF_ENDPOINT=hub.address, HF_HOME=home) == "loaded 16"
        assert "pytorch_model.bin" not in hub.fetched
    assert load("us/tiny", HF_HUB_OFFLINE="1", HF_HOME=home) == "loaded 16"
    refused = load("us/other", HF_HUB_OFFLINE="1", HF_HOME=home)
    assert refused.startswith("refused us/other: no such directory, and the hub does not give it")
    assert refused.endswith("name the directory")


def load(name: str, **environment: str) -> str:
    """Load in another process: the hub's client reads its settings when it is imported."""
    command = [sys.executable, "-c", _LOAD, name]
    done = subprocess.run(
        command, env=_ENV | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_reranker_scores_pairs_alone_as_in_company(tmp_path: Path) -> None:
    reranker = Reranker(str(make_classifier(tmp_path)))
    together = reranker.scores("green tea", TEXTS)
    alone = [reranker.scores("green tea", [text])[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.abs(together - reranker.scores("capital", TEXTS)).max() > 1e-6
    assert reranker.scores("green tea", []).shape == (0,)


def test_a_classifier_with_several_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(RerankerError, match="scores by one logit, this classifier has 3"):
        Reranker(str(make_classifier(tmp_path, labels=3)))


def test_a_reranker_that_is_not_there_is_refused_before_any_question(tmp_path: Path) -> None:
    settings = PathSettings("rag+rerank", reranker=str(tmp_path / "nowhere"))
    with pytest.raises(RerankerError, match="no such directory"):
        Retrieval(None).factory(settings, BANK)


async def test_reranking_sorts_the_nearest_by_the_cross_encoder(tmp_path: Path) -> None:
    name = str(make_classifier(tmp_path / "reranker"))
    embedder = str(make_encoder(tmp_path / "encoder"))
    retrieval, reranker = Retrieval(None), Reranker(name)
    texts = [*TEXTS, "paris is the capital of france", "green sea"]

    async def ids(k: int, **settings: Any) -> list[str]:
        retriever = retrieval.factory(PathSettings(embedder=embedder, **settings), BANK)
        return await recalled(engine, BANK, "tea", options=AskOptions(k=k), retriever=retriever)

    async with filled(tmp_path / "data", *numbered(*texts)) as engine:
        best = [f"d{n}" for n in np.argsort(-reranker.scores("tea", texts))]
        assert await ids(5, path="rag+rerank", reranker=name) == best
        assert await ids(1, path="rag+rerank", reranker=name) == best[:1]
        near = await ids(2, path="rag")
        seen = await ids(2, path="rag+rerank", reranker=name, candidates=2)
        assert seen == [one for one in best if one in near]
