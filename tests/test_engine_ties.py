"""Documents of equal score are ranked alike in every bank, whatever the order of arrival."""

from __future__ import annotations

from pathlib import Path

from memsvc_router.api import AskOptions
from memsvc_storage import NewDocument

from tests.engine_support import add, recalled, running

TEXT = "The harbour master keeps the tide tables."
NAMES = [f"copy-{n}" for n in range(12)]


async def test_equal_texts_are_ranked_by_their_ids(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        orders = (NAMES, NAMES[::-1], [*NAMES[5:], *NAMES[:5]])
        found = []
        for number, names in enumerate(orders):
            bank = f"bank-{number}"
            await engine.create_bank(bank)
            for name in names:
                await add(engine, bank, NewDocument(TEXT, document_id=name))
            asked = "Who keeps the tide tables?"
            found.append(await recalled(engine, bank, asked, options=AskOptions(k=5)))
        assert len(found[0]) == 5
        assert found[0] == found[1] == found[2]
