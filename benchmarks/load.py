"""Loading a decoder: host memory at its peak over the process's baseline, and seconds.

    python -m benchmarks.load [--gigabytes 1.5] [--model DIR]

Without `--model`, a random bf16 checkpoint of Qwen3's kind with routers is made in a temporary
directory and deleted again. The load runs in a fresh process, whose imports are the baseline.
JSON on stdout. `ratio` is peak memory (VmHWM: anonymous, shared and file pages) over the size of
the weights' files; the bar is 1.1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from memsvc_router.decoder.config import SETTINGS, plain, settings_of
from memsvc_router.decoder.initialise import router_shapes
from memsvc_router.decoder.loading import load_decoder, skeleton
from memsvc_router.decoder.shards import write_shards
from tokenizers import AddedToken, Tokenizer, models
from torch import Tensor
from transformers import AutoConfig

_HIDDEN, _VOCABULARY, _SHARD = 2048, 32_000, 500_000_000
_TEMPLATE = ("<|im_start|>", "<|im_end|>", "<|object_ref_end|>")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.5)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    with TemporaryDirectory() as folder:
        model = arguments.model or random_checkpoint(Path(folder), arguments.gigabytes * 1e9)
        command = [sys.executable, "-m", "benchmarks.load", "--measure", str(model)]
        subprocess.run(command, check=True)


def measure(folder: Path) -> dict[str, Any]:
    """Load a checkpoint in this process, which has done nothing before."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    baseline = _resident("VmRSS")
    began = time.perf_counter()
    decoder = load_decoder(folder)
    seconds = time.perf_counter() - began
    peak = _resident("VmHWM") - baseline
    return {
        "model": decoder.identity.model,
        "dtype": decoder.identity.dtype,
        "weights_bytes": size,
        "baseline_bytes": baseline,
        "peak_bytes": peak,
        "after_bytes": _resident("VmRSS") - baseline,
        "ratio": round(peak / size, 4),
        "seconds": round(seconds, 2),
    }


def random_checkpoint(folder: Path, size: float) -> Path:
    """A random checkpoint in the published format of about `size` bytes, in several files."""
    shape = {"hidden_size": _HIDDEN, "intermediate_size": 3 * _HIDDEN, "vocab_size": _VOCABULARY}
    layer = 2 * _HIDDEN * (4.5 * _HIDDEN + 9 * _HIDDEN)  # bytes: attention with routers, MLP
    layers = max(2, round((size - 2 * _HIDDEN * _VOCABULARY) / layer))
    config = AutoConfig.for_model(
        "qwen3",
        **shape,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )
    routing = plain(config)
    settings = settings_of(routing) | {"decouple_router": True}
    body = config.to_dict() | {"model_type": "msa", SETTINGS: settings}
    (folder / "config.json").write_text(json.dumps(body))
    write_shards(folder, _random_tensors(config), _SHARD)
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    words.add_special_tokens([AddedToken(token, special=True) for token in _TEMPLATE])
    words.save(str(folder / "tokenizer.json"))
    return folder


def _random_tensors(config: Any) -> Iterator[tuple[str, Tensor]]:
    network = skeleton(config)
    for name, tensor in network.state_dict().items():
        if name != "lm_head.weight":
            yield name, torch.empty(tensor.shape, dtype=torch.bfloat16).uniform_(-0.05, 0.05)
    for name, shape in router_shapes(network, plain(config)).items():
        yield name, torch.empty(shape, dtype=torch.bfloat16).uniform_(-0.05, 0.05)


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: this needs Linux")


if __name__ == "__main__":
    main()
