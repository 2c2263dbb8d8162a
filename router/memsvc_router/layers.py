"""The trainable parts on top of a pretrained encoder: router, memory layer, pointer heads.

Knows nothing of text or banks. Legend: B batch, T tokens, M memory entries (chunks), H query
heads, G key/value heads, D head width, E hidden size, R routing width, L router layers.
"""

from __future__ import annotations

import torch
from memsvc_kernels import attend
from torch import Tensor, nn

from memsvc_router.config import MemoryConfig


class Router(nn.Module):
    """Routing keys and queries from several backbone states (MSA §1-2).

    Layer 0 sees static word embeddings times a learned token weight: a lexical signal that plain
    sentence embeddings lose. Both sides are means over tokens, L2-normalised per router layer.
    """

    def __init__(self, config: MemoryConfig, hidden: int, vocabulary: int) -> None:
        super().__init__()
        width = config.router_width
        self.key = nn.ModuleList(nn.Linear(hidden, width, bias=False) for _ in config.router_layers)
        self.query = nn.ModuleList(
            nn.Linear(hidden, width, bias=False) for _ in config.router_layers
        )
        self.token_weight = nn.Embedding(vocabulary, 1)
        self.layer_scale = nn.Parameter(torch.zeros(len(config.router_layers)))
        self.read_weight = nn.Parameter(torch.full((len(config.router_layers),), -1.0))

    def states(self, ids: Tensor, embedded: Tensor, final: Tensor) -> list[Tensor]:
        """The input of each router layer, [.., T, E]: weighted word vectors, then final states."""
        weight = torch.nn.functional.softplus(self.token_weight(ids))
        return [embedded * weight, final]

    def token_shares(self, types: Tensor) -> list[Tensor]:
        """Weights of query tokens per layer: 1 for the question's, learned for texts read."""
        read = torch.nn.functional.softplus(self.read_weight)
        return [torch.where(types == 0, 1.0, w) for w in read]

    def project(self, pooled: list[Tensor], side: str) -> Tensor:
        """Pooled inputs per layer [N, E] -> unit vectors [N, L, R] (fp32)."""
        maps = self.key if side == "key" else self.query
        parts = [m(p.to(self.layer_scale.dtype)).float() for m, p in zip(maps, pooled, strict=True)]
        return torch.nn.functional.normalize(torch.stack(parts, 1), dim=-1)

    def scale_queries(self, queries: Tensor) -> Tensor:
        """Weigh the layers of unit queries [N, L, R]; a dot with keys is then the routing score."""
        return queries * torch.softmax(self.layer_scale.float(), 0).unsqueeze(-1)


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
        """Keys and values of tokens: [.., E] -> [.., 2, G, D]."""
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
    """Where the answer starts and ends, and whether the texts read hold it at all."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.start_end = nn.Linear(hidden, 2)
        self.found = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """states [B, T, E] -> start [B, T], end [B, T], found [B] logits in fp32."""
        normed = self.norm(states)
        start, end = self.start_end(normed).float().unbind(-1)
        return start, end, self.found(normed[:, 0]).float().squeeze(-1)
