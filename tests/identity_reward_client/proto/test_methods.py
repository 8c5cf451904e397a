import pytest

from identity_reward_client.errors import InvalidResponse
from identity_reward_client.messages import GroupResponse, Item
from identity_reward_client.proto.methods import chunks, event, read_chunk, read_event
from tests.identity_reward_client.transports.servers.responses import COMMON, SCORED


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (5 << 20) + 3])
def test_joined_chunks_are_the_request(size):
    body = bytes(size)
    assert b"".join(map(read_chunk, chunks(body))) == body


def test_events_hold_an_item_or_the_response():
    items = [Item(index=0, scored={"reward": 0.5, **SCORED}), Item(index=1, error={"code": "x", "message": "y"})]
    answer = GroupResponse(**COMMON, items=items, theta=5.0, win=[[None, 0.5], [0.5, None]])
    assert [read_event(event(content)) for content in (*answer.items, answer)] == [*answer.items, answer]
    assert read_event(b"\xf8\x07\x01") is None
    with pytest.raises(InvalidResponse):
        read_event(b"\xff")
