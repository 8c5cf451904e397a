import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.prompts.chat_server import LOOKS, good_answer, good_prompt
from trainer.prompts.answer import MAX_WORDS, InvalidAnswer, read_answer

GOOD = good_answer("They walk along a beach.", 2)
PROMPT = good_prompt("They walk along a beach.", 2)


def answer(prompt=PROMPT, people=LOOKS[:2]):
    return json.dumps({"people": list(people), "prompt": prompt})


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here is the prompt:\n{GOOD}\nI hope it helps.",
        f"<think>One {{ or two?</think>{GOOD}",
        answer(PROMPT.replace(" ", "\n  ")),
        answer(people=[look.upper() for look in LOOKS[:2]]),
        json.dumps({"note": "x", **json.loads(GOOD)}),
    ],
    ids=["plain", "fenced", "between prose", "thoughts", "line breaks", "capitals", "another field"],
)
def test_a_good_answer_is_one_line_of_text(text):
    assert read_answer(text, 2) == PROMPT


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "json", "it is empty"),
        ("Two people walk along a beach.", "json", "no JSON object: Two people"),
        (GOOD[:-20], "json", "can't be read"),
        ('{"a":' * 20_000, "json", "can't be read"),
        ('{"prompt": "x"}', "json", "no text `prompt` with a list of texts `people`"),
        (answer(people=[1, 2]), "json", "list of texts"),
        (answer(prompt=None), "json", "no text"),
        ("I'm sorry, but I can't describe people in images.", "refusal", "I'm sorry"),
        ("I’m sorry, I can’t help.", "refusal", "refused"),
        ("As an AI, I cannot see.", "refusal", "refused"),
        (answer("I cannot describe these people."), "refusal", "I cannot"),
        (answer("They walk.", ["walk they", "they walk"]), "length", "2 words"),
        (answer(PROMPT + " again" * MAX_WORDS), "length", "words; 15 to 200"),
        (answer(people=LOOKS[:1]), "people", "1 descriptions for 2 reference images"),
        (answer(people=LOOKS[:3]), "people", "3 descriptions"),
        (answer(PROMPT.replace("Two people", "Three people")), "people", "'Three people' of 2 reference images"),
        (answer(PROMPT.replace("Two people", "3 people")), "people", "'3 people'"),
        (answer(PROMPT.replace(LOOKS[1], "tall")), "people", "too little of person 2"),
        (answer(people=[LOOKS[0], ""]), "people", "too little of person 2"),
        (answer(PROMPT + " It is as in image 1."), "images", "'image 1'"),
        (answer(PROMPT + " They look as in the reference images."), "images", "'reference image'"),
    ],
)
def test_anything_else_is_an_error_with_the_answer(text, code, message):
    with pytest.raises(InvalidAnswer) as caught:
        read_answer(text, 2)
    assert caught.value.code == code
    assert message in caught.value.message
    assert caught.value.answer == text


FIELDS = st.sampled_from(["people", "prompt", "x"])
JSON = st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(FIELDS, x))


@given(st.text() | JSON.map(json.dumps))
def test_no_text_raises_anything_else(text):
    with pytest.raises(InvalidAnswer):
        read_answer(text, 2)
