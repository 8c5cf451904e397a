"""Checks of a run's reward service, against a real one."""

import numpy as np
import pytest
from PIL import Image

from reward_model.training.errors import TrainingError
from tests.support.paths import EXAMPLES
from tests.support.ports import free_port
from trainer.prompts import Prompt
from trainer.rewards.config import RewardsConfig, SourceConfig
from trainer.rewards.service import check_models, check_references, reward_sources

ANNA = EXAMPLES / "references/anna.jpg"


@pytest.fixture(scope="module")
def url(serve):
    return serve("--model", "arcface", "--model", "tiny", "--port", "0").wait_ready().url


@pytest.fixture
def wall(tmp_path):
    """An image without a face."""
    path = tmp_path / "wall.png"
    Image.fromarray(np.full((160, 120, 3), 200, np.uint8)).save(path)
    return path


def config(url, *sources, **fields):
    return RewardsConfig(url=url, sources=sources or (SourceConfig(name="identity"),), **fields)


def test_models_of_the_sources_are_those_that_are_served(url):
    sources = SourceConfig(name="default"), SourceConfig(name="watched", model="tiny", weight=0)
    models = check_models(config(url, *sources))
    assert {name: model.name for name, model in models.items()} == {"default": "arcface", "watched": "tiny"}


def test_a_model_that_is_not_served_is_named_with_those_that_are(url):
    with pytest.raises(TrainingError, match="identity names the model 'compact'; the service has arcface, tiny"):
        check_models(config(url, SourceConfig(name="identity", model="compact")))


def test_a_service_that_is_away_is_one_line():
    with pytest.raises(TrainingError, match=r"no reward service at http://127.0.0.1:\d+ .*identity-reward serve"):
        check_models(config(f"http://127.0.0.1:{free_port()}"))


def test_an_impossible_url_is_one_line():
    with pytest.raises(TrainingError, match="the service's URL looks like"):
        check_models(config("localhost:3000"))


def test_references_without_a_face_are_named_with_their_prompts(url, wall):
    prompts = [
        Prompt("good", "Anna waves.", (ANNA,)),
        Prompt("bad", "Somebody waves.", (wall,)),
        Prompt("also bad", "Somebody sits.", (wall,)),
    ]
    settings = config(url)
    models = check_models(settings)
    check_references(settings, prompts[:1], models, 8.0)
    with pytest.raises(TrainingError, match=r"1 of 2 reference sets can't be scored by arcface: bad: .*face"):
        check_references(settings, prompts, models, 8.0)
    check_references(config(url, check_references=False), prompts, models, 8.0)
    check_references(config(url, SourceConfig(name="identity", model="tiny")), prompts, models, 8.0)


def test_a_file_that_is_no_image_is_one_line(url, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    settings = config(url, SourceConfig(name="identity", model="tiny"))
    with pytest.raises(TrainingError, match="1 of 1 reference sets can't be scored by tiny: a: "):
        check_references(settings, [Prompt("a", "x", (tmp_path / "text.jpg",))], check_models(settings), 8.0)


def test_more_references_than_a_model_takes_are_named(url):
    settings = config(url)
    prompts = [Prompt("crowd", "Nine people wave.", (ANNA,) * 9)]
    with pytest.raises(TrainingError, match="arcface takes 8 references, and crowd has more"):
        check_references(settings, prompts, check_models(settings), 8.0)


def test_sources_of_one_service_share_a_client():
    sources = reward_sources(
        config(
            "http://a", SourceConfig(name="r"), SourceConfig(name="w", weight=0), SourceConfig(name="o", url="http://b")
        ),
        faces_of="w",
    )
    assert sources[0].client is sources[1].client is not sources[2].client
    assert [source.details for source in sources] == [False, True, False]
