import asyncio

import pytest

from identity_reward_client.errors import ReferenceSetNotFound
from identity_reward_client.messages import Image
from identity_reward_client.transports.reference_uploads import ReferenceUploads
from identity_reward_client.wire.content_ids import reference_set_id

ANNA, BEN = [Image(data=b"anna")], [Image(data=b"ben")]


class Server:
    """Stores sets, and answers a call with the references that it came with."""

    def __init__(self):
        self.stored = {}
        self.uploads = 0
        self.loses = False

    async def put(self, images):
        self.uploads += 1
        await asyncio.sleep(0)
        set_id = reference_set_id(images)
        if not self.loses:
            self.stored[set_id] = images
        return set_id

    async def call(self, references):
        if isinstance(references, str) and references not in self.stored:
            raise ReferenceSetNotFound(references)
        return references


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def uploads(server):
    return ReferenceUploads(server.put)


async def test_lost_set_is_uploaded_again(server, uploads):
    set_id = await uploads.upload(ANNA)
    server.stored.clear()
    assert await uploads.call(set_id, server.call) == set_id
    assert server.uploads == 2


async def test_set_of_another_client_cannot_be_uploaded_again(server, uploads):
    with pytest.raises(ReferenceSetNotFound):
        await uploads.call(reference_set_id(ANNA), server.call)
    assert server.uploads == 0


async def test_set_that_is_lost_at_once_is_an_error(server, uploads):
    server.loses = True
    set_id = await uploads.upload(ANNA)
    with pytest.raises(ReferenceSetNotFound):
        await uploads.call(set_id, server.call)
    assert server.uploads == 2


async def test_upload_always_stores(server, uploads):
    await uploads.upload(ANNA)
    await uploads.upload(ANNA)
    assert server.uploads == 2


async def test_calls_by_id_upload_each_set_once(server, uploads):
    calls = [uploads.call_by_id(images, server.call) for images in (ANNA, BEN, [Image(data=b"anna")], BEN) * 3]
    assert await asyncio.gather(*calls) == [reference_set_id(ANNA), reference_set_id(BEN)] * 6
    assert server.uploads == 2


async def test_call_by_id_sends_the_images_of_a_lost_set_and_uploads_it_at_the_next_call(server, uploads):
    await uploads.call_by_id(ANNA, server.call)
    server.stored.clear()
    assert await uploads.call_by_id(ANNA, server.call) == ANNA
    assert await uploads.call_by_id(ANNA, server.call) == reference_set_id(ANNA)
    assert server.uploads == 2


async def test_image_by_url_is_sent_as_it_is(server, uploads):
    images = [Image(url="https://example.org/anna.jpg")]
    assert await uploads.call_by_id(images, server.call) == images
    assert server.uploads == 0
