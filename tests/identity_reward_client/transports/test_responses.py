import json
import math

import pytest
from starlette.responses import Response

from identity_reward_client.errors import (
    InvalidResponse,
)
from tests.identity_reward_client.transports.servers.responses import COMMON, ITEM, SCORED


@pytest.mark.parametrize(
    "fields",
    [
        {"items": [ITEM]},
        {"items": [ITEM, {**ITEM, "index": 5}]},
        {"items": [ITEM, {"index": 1}]},
        {"items": [ITEM, {**ITEM, "index": 1, "error": {"code": "x", "message": "y"}}]},
        {"items": [ITEM, {"index": 1, "scored": {"reward": math.nan, **SCORED}}]},
        {"items": [ITEM, {**ITEM, "index": 1}], "win": [[0.5]], "tie": [[0.5]]},
    ],
    ids=["too few", "wrong index", "neither", "both", "NaN", "small matrix"],
)
async def test_incomplete_group_response_is_an_invalid_response(client, wire, files, fields, references):
    wire.script.append(Response(json.dumps({**COMMON, "theta": 5, **fields}), 200))
    with pytest.raises(InvalidResponse):
        await client.score_group(references, [files / "one.mp4", files / "two.mp4"])
