"""Checks of what a vision-language model answers: only a usable prompt passes."""

from __future__ import annotations

import json
import re
from typing import Any

# The release's prompts have 40 to 80 words. Wan's text encoder reads 512 tokens, about 350 words.
MIN_WORDS, MAX_WORDS = 15, 200
# share of the words of a person's description that the prompt has to repeat
MIN_REPEATED = 0.5
# shorter words (a, the, with) say nothing about a person
_MIN_LETTERS = 4

_REFUSAL = re.compile(
    r"\W*(?:i(?:['’]m| am) (?:very |so )?sorry|sorry\b|i (?:can(?:no|['’])t|can not|am unable|am not able|won['’]t)\b"
    r"|i['’]m (?:unable|not able)|as an ai\b|unfortunately,? i\b|i apologi[sz]e)",
    re.IGNORECASE,
)
_ABOUT_IMAGES = re.compile(
    r"\b(?:reference (?:image|picture|photo)|(?:image|picture|photo(?:graph)?) #?\d"
    r"|(?:first|second|third|fourth) (?:image|picture|photo))",
    re.IGNORECASE,
)
_NUMBERS = {
    name: number
    for number, name in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}  # fmt: skip
_TOTAL = re.compile(rf"\b({'|'.join(_NUMBERS)}|\d+) (?:people|persons|individuals)\b", re.IGNORECASE)


class InvalidAnswer(Exception):
    """No prompt came of a row. `code` is one word for programs: image, refusal, json, people, length or images."""

    def __init__(self, code: str, message: str, answer: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.answer = code, message, answer


def read_answer(answer: str, num_people: int) -> str:
    """The prompt in an answer to `request.chat_messages`, in one line. Raises InvalidAnswer."""
    try:
        return _read(answer, num_people)
    except InvalidAnswer as error:
        error.answer = answer
        raise


def _read(answer: str, num_people: int) -> str:
    text = answer.rpartition("</think>")[2].strip()  # models that reason aloud
    _check_refusal(text)
    fields = _json_object(text)
    people, prompt = fields.get("people"), fields.get("prompt")
    if not isinstance(prompt, str) or not isinstance(people, list) or not all(isinstance(one, str) for one in people):
        raise InvalidAnswer("json", "the answer has no text `prompt` with a list of texts `people`")
    prompt = " ".join(prompt.split())
    _check_refusal(prompt)
    _check_people(people, prompt, num_people)
    length = len(re.findall(r"\w+", prompt))
    if not MIN_WORDS <= length <= MAX_WORDS:
        raise InvalidAnswer("length", f"the prompt has {length} words; {MIN_WORDS} to {MAX_WORDS} are taken")
    if match := _ABOUT_IMAGES.search(prompt):
        raise InvalidAnswer("images", f"the prompt speaks of the images ({match[0]!r}), which a video model can't read")
    return prompt


def _check_refusal(text: str) -> None:
    if _REFUSAL.match(text):
        raise InvalidAnswer("refusal", f"the model refused: {shorten(text)}")


def _json_object(text: str) -> dict[str, Any]:
    start = text.find("{")
    if start < 0:
        raise InvalidAnswer("json", f"the answer holds no JSON object: {shorten(text) or 'it is empty'}")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidAnswer("json", f"the answer's JSON can't be read ({error}): {shorten(text)}") from None
    return value  # type: ignore[no-any-return]  # it starts with a brace


def _check_people(people: list[str], prompt: str, num_people: int) -> None:
    if len(people) != num_people:
        raise InvalidAnswer("people", f"the answer has {len(people)} descriptions for {num_people} reference images")
    if match := _TOTAL.search(prompt):
        total = _NUMBERS.get(match[1].lower()) or int(match[1])
        if total != num_people:
            raise InvalidAnswer("people", f"the prompt says {match[0]!r} of {num_people} reference images")
    words = _words(prompt)
    for number, description in enumerate(people, 1):
        described = _words(description)
        if not described or len(described & words) < MIN_REPEATED * len(described):
            raise InvalidAnswer("people", f"the prompt says too little of person {number}: {shorten(description)!r}")


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.casefold()) if len(word) >= _MIN_LETTERS}


def shorten(text: str, length: int = 160) -> str:
    """The text in one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
