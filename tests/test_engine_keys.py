"""A key table grows and shrinks without losing or mixing up rows; blocks rest at 8 bits."""

from __future__ import annotations

import numpy as np
from memsvc_kernels import eight_bits, four_more, full_width
from memsvc_router.api import ROUTING, SPANS, DocumentText, content_name

from memsvc.engine.keys import KeyTable
from memsvc.engine.rest import at_rest, restored
from tests.engine_support import BagModel

LAYERS, WIDTH = 2, 16


def test_a_copy_of_some_grows_on() -> None:
    keys = np.random.default_rng(1).standard_normal((300, LAYERS, WIDTH))
    codes, scales = eight_bits(keys)
    finer = four_more(keys, codes, scales)
    table = KeyTable(LAYERS, WIDTH)
    for at in range(0, 300, 70):
        table.extend(codes[at : at + 70], scales[at : at + 70], finer[at : at + 70])
    before = table.now()
    some = np.arange(300) % 4 == 0
    copy = table.kept(some)
    copy.extend(codes[:10], scales[:10], finer[:10])
    table.extend(codes[:10], scales[:10], finer[:10])
    assert (len(copy), len(table), len(before)) == (85, 310, 300)
    (rows,) = copy.now().codes  # of so narrow keys all layers lie side by side
    np.testing.assert_array_equal(rows, np.concatenate((codes[some], codes[:10])))
    np.testing.assert_array_equal(copy.now().scales, np.concatenate((scales[some], scales[:10])))
    wide = full_width(codes, scales, finer)
    np.testing.assert_array_equal(
        copy.now().keys(np.arange(len(copy))), np.concatenate((wide[some], wide[:10]))
    )


def test_room_to_grow_is_counted() -> None:
    codes, scales = eight_bits(np.random.default_rng(2).standard_normal((100, LAYERS, WIDTH)))
    finer = four_more(codes, codes, scales)
    table = KeyTable(LAYERS, WIDTH)
    table.extend(codes, scales, finer)
    whole = codes.nbytes + scales.nbytes + finer.nbytes
    assert table.nbytes == whole
    table.extend(codes[:1], scales[:1], finer[:1])
    assert table.nbytes == 2 * whole  # arrays grow by doubling


def test_blocks_rest_at_a_quarter_and_come_back_close() -> None:
    block = BagModel().encode([DocumentText("Rivers", "The river carries stones to the sea.")])[0]
    stored = at_rest(block)
    assert (stored.tensors[SPANS] == block.tensors[SPANS]).all()
    for name in (ROUTING, content_name(0)):
        assert stored.tensors[name].dtype == np.int8
        assert stored.tensors[name].shape == block.tensors[name].shape
        back, was = restored(stored.tensors, name), block.tensors[name].astype(np.float32)
        assert np.abs(back - was).max() <= np.abs(was).max() / 127
    keys = restored(stored.tensors, ROUTING)
    scales = stored.tensors["scale.routing"].astype(np.float32)
    off = np.abs(keys - block.tensors[ROUTING].astype(np.float32))
    assert (off <= scales[..., None] / 16 * 1.001).all()
