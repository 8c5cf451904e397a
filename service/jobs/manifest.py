"""Lines of a manifest as stored items, and back. Media are stored apart, each once, whichever items use it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pydantic import ValidationError

from identity_reward_client.errors import InvalidRequest, LimitExceeded, ModelNotFound
from identity_reward_client.wire.content_ids import references_of
from identity_reward_client.wire.job_messages import JobItem
from identity_reward_client.wire.validation import explain

# key of an object that replaces media; no field of a request has this name, and unknown fields are refused
_MEDIA = "$media"
_MAX_SHOWN_LINES = 5
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class StoredItem:
    """An item of a manifest, with the bytes of its media taken out of its JSON and named by their hashes."""

    # of the manifest, from 1
    line: int
    # JSON, with {"$media": name} instead of bytes
    request: str
    # bytes by name, the hex SHA-256 of them
    media: dict[str, bytes]


def read_manifest(body: bytes, max_items: int, model_name: Callable[[str | None], str]) -> Iterator[StoredItem]:
    """Yield the items line by line. `model_name` returns the name of a model, of the default for None.

    Raises LimitExceeded for too many items, and at the end InvalidRequest with the numbers of the first bad lines.
    """
    # (line, reason)
    problems: list[tuple[int, str]] = []
    num_items = 0
    line_of_id: dict[str, int] = {}
    # references as they are stored, by their id
    reference_sets: dict[str, Any] = {}
    for number, line in enumerate(io.BytesIO(body), 1):
        row = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if not row:
            continue
        num_items += 1
        if num_items > max_items:
            raise LimitExceeded(
                f"the manifest has more than {max_items} items (max_job_items); send it as several jobs",
                details={"limit": "max_job_items", "maximum": max_items},
            )
        try:
            item = JobItem.model_validate_json(row)
            identity = item.id or str(number)
            if identity in line_of_id:
                raise ValueError(f"the same id as line {line_of_id[identity]}")
            line_of_id[identity] = number
            model = model_name(item.model)
        except ValidationError as error:
            problems.append((number, explain(error)))
        except ModelNotFound as error:
            problems.append((number, error.message))
        except ValueError as error:
            problems.append((number, str(error)))
        else:
            if not problems:  # otherwise the job is refused: the rest is only searched for more bad lines
                yield _to_stored(item.model_copy(update={"id": identity, "model": model}), number, reference_sets)
    if problems:
        shown = problems[:_MAX_SHOWN_LINES]
        more = f"; and {len(problems) - len(shown)} more lines" if len(problems) > len(shown) else ""
        text = "; ".join(f"line {number}: {reason}" for number, reason in shown)
        raise InvalidRequest(f"{text}{more}", details={"lines": [number for number, _ in shown]})
    if not num_items:
        raise InvalidRequest("the manifest holds no items; an item is a line of JSON")


def _to_stored(item: JobItem, line: int, reference_sets: dict[str, Any]) -> StoredItem:
    media: dict[str, bytes] = {}
    request = _extract_media(item.model_dump(exclude_none=True), media)
    if isinstance(item.references, str):
        request["references"] = reference_sets.get(item.references, item.references)
    elif (identity := references_of(item)) is not None:
        reference_sets.setdefault(identity, request["references"])
    return StoredItem(line, json.dumps(request), media)


def restore(request: str, load: Callable[[str], bytes]) -> JobItem:
    """The item of a stored request; `load` returns the media of a name."""
    return JobItem.model_validate(_insert_media(json.loads(request), load))


def _extract_media(value: Any, media: dict[str, bytes]) -> Any:
    if isinstance(value, bytes | memoryview):
        name = sha256(value).hexdigest()
        media[name] = bytes(value)
        return {_MEDIA: name}
    if isinstance(value, dict):
        return {key: _extract_media(field, media) for key, field in value.items()}
    return [_extract_media(element, media) for element in value] if isinstance(value, list) else value


def _insert_media(value: Any, load: Callable[[str], bytes]) -> Any:
    if isinstance(value, dict):
        if _MEDIA in value:
            return load(value[_MEDIA])
        return {key: _insert_media(field, load) for key, field in value.items()}
    return [_insert_media(element, load) for element in value] if isinstance(value, list) else value
