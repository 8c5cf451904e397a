"""URLs and paths through the engine: they are read before contents are compared, and fail their item only."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image as Pillow

from identity_reward_client.errors import InputRefused, LimitExceeded
from identity_reward_client.messages import GroupRequest, Image, ReferenceSet, ScoreRequest, Video
from identity_reward_client.wire.content_ids import video_id
from tests.service.media.media_host import Authority, respond


def png(value: int) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def host(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # OpenSSL's own variable
    with authority.host() as host:
        yield host


@pytest.fixture
def linked(make_engine, host, tmp_path):
    (tmp_path / "clips").mkdir()
    return make_engine(
        url_hosts=(f"localhost:{host.port}",),
        url_private_networks=("127.0.0.1/32", "::1/128"),
        path_roots=(str(tmp_path / "clips"),),
    )


def image_list(*images: Image) -> Video:
    return Video(images=list(images), fps=8)


async def test_images_by_url_and_path_give_the_reward_of_their_bytes(linked, host, tmp_path, reference):
    host.paths["/p"] = respond(png(102))
    path = tmp_path / "clips/p.png"
    path.write_bytes(png(102))
    for image in (Image(url=host.url("/p")), Image(path=str(path)), Image(data=png(102))):
        scored = await linked.score(
            ScoreRequest(references=[reference()], video=image_list(image, Image(data=png(102))))
        )
        assert scored.reward == pytest.approx(0.4)
        scored = await linked.score(ScoreRequest(references=[image], video=image_list(Image(data=png(102)))))
        assert scored.reward == pytest.approx(0.4)


async def test_a_url_with_changing_content_is_two_videos(linked, host, reference):
    bodies = itertools.cycle([png(51), png(204)])
    host.paths["/p"] = lambda connection: respond(next(bodies))(connection)
    video = image_list(Image(url=host.url("/p")))
    group = await linked.score_group(GroupRequest(references=[reference()], videos=[video, video]))
    assert sorted(item.reward for item in group.items) == pytest.approx([0.2, 0.8])


async def test_links_that_can_not_be_read_fail_their_item_only(linked, host, tmp_path, reference, video):
    outside = tmp_path / "p.png"
    outside.write_bytes(png(102))
    videos = [
        video(51), image_list(Image(url=host.url("/gone"))), Video(path=str(outside)), Video(url="https://example.org/a"),
        video(51),
    ]  # fmt: skip
    group = await linked.score_group(GroupRequest(references=[reference()], videos=videos))
    assert [item.error and item.error.code for item in group.items] == [None, *["input_refused"] * 3, None]
    assert "frame 0 could not be fetched: its host responded with status 404" in group.items[1].error.message
    assert [group.items[i].reward for i in (0, 4)] == pytest.approx([0.2, 0.2])
    with pytest.raises(InputRefused, match="reference 0 can't be read: no such file"):
        await linked.score(ScoreRequest(references=[Image(path=f"{tmp_path}/clips/gone")], video=video(1)))


async def test_the_id_of_a_stored_set_depends_on_content_not_urls(linked, host):
    host.paths["/p"] = respond(png(1))
    by_url = await linked.put_references(ReferenceSet(images=[Image(url=host.url("/p"))]))
    host.paths["/p"] = respond(png(2))
    changed = await linked.put_references(ReferenceSet(images=[Image(url=host.url("/p"))]))
    by_bytes = await linked.put_references(ReferenceSet(images=[Image(data=png(1))]))
    assert by_url.id == by_bytes.id != changed.id


async def test_the_links_of_a_request_share_one_budget(make_engine, tmp_path, reference):
    (tmp_path / "p").write_bytes(bytes(600))
    engine = make_engine(path_roots=(str(tmp_path),), max_body_bytes=1000)
    videos = [Video(path=str(tmp_path / "p"), fps=fps) for fps in (8, 9)]
    group = await engine.score_group(GroupRequest(references=[reference()], videos=videos))
    assert {item.error.code for item in group.items} == {"invalid_media", "limit_exceeded"}


async def test_too_many_images_are_not_fetched(linked, host, reference, monkeypatch):
    many = image_list(*[Image(url=host.url("/p"))] * 1025)
    with pytest.raises(LimitExceeded, match="max_sent_frames"):
        await linked.score(ScoreRequest(references=[reference()], video=many))
    assert host.connections == 0


async def test_links_are_refused_by_default(engine, host, tmp_path, reference, video):
    (tmp_path / "p.png").write_bytes(png(1))
    for image in (Image(url=host.url("/p")), Image(path=str(tmp_path / "p.png"))):
        for request in (
            ScoreRequest(references=[image], video=video(1)),
            ScoreRequest(references=[reference()], video=image_list(image)),
        ):
            with pytest.raises(InputRefused, match="which this server doesn't accept; send its bytes"):
                await engine.score(request)
    assert host.connections == 0


def test_unresolved_links_have_no_content_id():
    for video in (Video(url="https://a.org"), Video(path="/a"), image_list(Image(path="/a"))):
        with pytest.raises(ValueError, match="has no content of its own"):
            video_id(video)
