"""The trainable parts on top of a pretrained encoder: router, memory layer, pointer heads.

Knows nothing of text or banks. Legend: B batch, T tokens, M memory entries (chunks), H query
heads, G key/value heads, D head width, E hidden size, R routing width, L router layers.
"""

from __future__ import annotations

import torch
from memsvc_kernels import attend, chunk_mean
from torch import Tensor, nn

from memsvc_router.config import MemoryConfig
from memsvc_router.lexical import HIGHEST, codes, frequencies, superpose, superpose_all

# What a chunk's meaning loses with every doubling of its document's parts (dev/LOG.md, M4).
_LONG, _LONGEST = 0.1, 6.0


class Router(nn.Module):
    """Routing keys and queries (MSA §1-2): meaning, and the exact words (MODEL.md, fact 4).

    Keys take nothing that is trained: what a question is worth can change while banks stay.
    A query weighs its own tokens by their context: of a text just read, only the words that lead
    on (a name to look up next) are to count.
    """

    codes: Tensor

    def __init__(self, config: MemoryConfig, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.layers, self.width = config.lexical_layers, config.router_width
        self.word_weight = nn.Embedding(vocabulary, 1)  # idf; 0 for markers
        self.query = nn.Linear(hidden, self.width, bias=False)
        self.token_gate = nn.Linear(hidden, 1)
        self.read_gate = nn.Parameter(torch.tensor(-3.0))
        self.read_weight = nn.Parameter(torch.tensor(-1.0))
        self.share = nn.Linear(hidden, 2)
        for part in (self.token_gate, self.share):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        table = codes(vocabulary, self.layers * self.width)
        self.register_buffer("codes", table, persistent=False)

    def keys(self, pooled: Tensor, words: Tensor, parts: Tensor) -> Tensor:
        """pooled [C, E] final states, words [C, (L-1)·R] of each chunk's part, parts [C]: how many
        its document has -> fp32 [C, L, R]. Of many chunks one is close to anything, so that those
        of long documents count for less."""
        meaning = torch.nn.functional.normalize(pooled.float(), dim=-1)
        share = 1 - _LONG * parts.float().log2().clamp(max=_LONGEST)
        both = torch.cat((meaning * share.unsqueeze(1), words.float()), 1)
        return both.reshape(len(both), -1, self.width)

    def words(self, ids: Tensor, mask: Tensor, documents: Tensor) -> Tensor:
        """The words of every part: ids int64 [B, T], mask bool [B, T], documents [B]: tokens of
        the whole document -> fp32 [B, (L-1)·R]. Its length is the mean of both, geometrically."""
        inside = mask & (self._idf(ids) > 0)
        lengths = (mask.sum(1).float() * documents.float()).sqrt()
        rows, tokens, weights = frequencies(ids, inside, lengths)
        root = self._idf(tokens).sqrt()
        return superpose(self.codes, rows, tokens, weights * root, len(ids))

    def queries(self, ids: Tensor, mask: Tensor, types: Tensor, final: Tensor) -> Tensor:
        """Collapsed routing queries fp32 [B, L, R]; a dot with keys is the score. types: 0 for
        the question's tokens, 1 for those of texts read; final [B, T, E]."""
        read = torch.nn.functional.softplus(self.read_weight.float())
        part = torch.where(types == 0, torch.ones_like(read), read) * mask
        mean = (final.float() * part.unsqueeze(-1)).sum(1) / part.sum(1, keepdim=True)
        pooled = mean.to(final.dtype)
        share = 2 * torch.sigmoid(self.share(pooled).float())
        meaning = torch.nn.functional.normalize(self.query(pooled).float(), dim=-1)
        words = self._asked(ids, mask, types, final)
        both = torch.cat((meaning * share[:, :1], words * share[:, 1:]), 1)
        return both.reshape(len(both), -1, self.width)

    def _asked(self, ids: Tensor, mask: Tensor, types: Tensor, final: Tensor) -> Tensor:
        """Words that a question asks for, weighted by context; a repeated one counts once."""
        gate = self.token_gate(final).squeeze(-1).float() + self.read_gate.float() * types
        gate = 2 * torch.sigmoid(gate) * mask
        same = ids.unsqueeze(1) == ids.unsqueeze(2)
        gate = (same * gate.unsqueeze(1)).amax(2) / same.sum(2)
        idf = self._idf(ids)
        scale = HIGHEST * (gate * idf).sum(1, keepdim=True).clamp_min(1e-3)
        weights = gate * idf.sqrt() / scale
        return superpose_all(self.codes, ids, weights)

    def _idf(self, ids: Tensor) -> Tensor:
        weight: Tensor = self.word_weight(ids)
        return weight.squeeze(-1).float()


class MemoryLayer(nn.Module):
    """One layer whose tokens see [compressed memory | local tokens] (MSA §3), pre-norm.

    Output projections start at zero: before training the layer changes nothing.
    """

    def __init__(self, config: MemoryConfig, hidden: int) -> None:
        super().__init__()
        self.heads, self.groups = config.heads, config.key_value_heads
        self.width = config.head_width
        self.attention_norm = nn.LayerNorm(hidden)
        self.query = nn.Linear(hidden, self.heads * self.width)
        self.key = nn.Linear(hidden, self.groups * self.width)
        self.value = nn.Linear(hidden, self.groups * self.width)
        self.output = nn.Linear(self.heads * self.width, hidden)
        self.slot_key = nn.Embedding(config.slots, self.groups * self.width)
        self.slot_value = nn.Embedding(config.slots, self.groups * self.width)
        self.mlp_norm = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)
        for module in (self.output, self.down):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        for table in (self.slot_key, self.slot_value):
            nn.init.normal_(table.weight, std=0.02)

    def content(self, states: Tensor) -> Tensor:
        """Keys and values of tokens, or of pooled chunks: [.., E] -> [.., 2, G, D]."""
        normed = self.attention_norm(states)
        return self._by_head(torch.stack((self.key(normed), self.value(normed)), dim=-2))

    def with_slots(self, memory: Tensor, slots: Tensor) -> Tensor:
        """Mark which routed document an entry belongs to. [B, M, 2, G, D], slots [B, M]."""
        mark = torch.stack((self.slot_key(slots), self.slot_value(slots)), dim=-2)
        return memory + self._by_head(mark).to(memory.dtype)

    def _by_head(self, flat: Tensor) -> Tensor:
        return flat.reshape(*flat.shape[:-1], self.groups, self.width)

    def forward(self, states: Tensor, local: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """states [B, T, E]; local bool [B, T]; memory [B, M, 2, G, D]; seen bool [B, M]."""
        both = torch.cat((memory.to(states.dtype), self.content(states)), dim=1)
        visible = torch.cat((seen, local), dim=1).unsqueeze(1)
        queries: Tensor = self.query(self.attention_norm(states))
        mixed = attend(
            queries.reshape(*queries.shape[:-1], self.heads, self.width).transpose(1, 2),
            both[:, :, 0].transpose(1, 2),
            both[:, :, 1].transpose(1, 2),
            visible,
        )
        states = states + self.output(mixed.transpose(1, 2).flatten(2))
        hidden = torch.nn.functional.gelu(self.up(self.mlp_norm(states)))
        out: Tensor = states + self.down(hidden)
        return out


class PointerHeads(nn.Module):
    """Where the answer starts and ends; does the last text matter; do the texts hold it all."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.start_end = nn.Linear(hidden, 2)
        self.judge = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 2))

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """states [B, T, E] -> logits in fp32: start, end [B, T], relevant, complete [B]."""
        normed = self.norm(states)
        start, end = self.start_end(normed).float().unbind(-1)
        relevant, complete = self.judge(normed[:, 0]).float().unbind(-1)
        return start, end, relevant, complete


def pool_states(states: Tensor, mask: Tensor, chunk_of_token: Tensor, chunks: int) -> Tensor:
    """Mean final state of every chunk: states [B, T, E], mask bool [B, T] -> [C, E]."""
    return chunk_mean(states[mask], chunk_of_token, chunks)
