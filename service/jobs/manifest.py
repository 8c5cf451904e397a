"""A manifest's lines to what is kept of them, and back: media lie apart, each once, whoever uses them."""

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

# stands where media were; no field of a request has this name, and requests have no free ones
_MEDIA = "$media"
_MOST_SHOWN = 5
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class KeptItem:
    """`request` is JSON in which {"$media": name} stands for the bytes that `media` holds under the name."""

    line: int
    request: str
    media: dict[str, bytes]


def read_manifest(body: bytes, max_items: int, model_name: Callable[[str | None], str]) -> Iterator[KeptItem]:
    """The items, a line at a time. `model_name` gives the full name of a model, or raises ModelNotFound.

    At its end InvalidRequest if lines were bad, the first few named by their numbers; LimitExceeded for too many.
    """
    bad: list[tuple[int, str]] = []
    count = 0
    first_line: dict[str, int] = {}
    sets: dict[str, Any] = {}
    for number, row in enumerate(io.BytesIO(body), 1):
        row = row.removeprefix(_BOM).strip() if number == 1 else row.strip()
        if not row:
            continue
        count += 1
        if count > max_items:
            raise LimitExceeded(
                f"the manifest has more than {max_items} items (max_job_items); send it as several jobs",
                details={"limit": "max_job_items", "maximum": max_items},
            )
        try:
            item = JobItem.model_validate_json(row)
            name = item.id or str(number)
            if name in first_line:
                raise ValueError(f"the same id as line {first_line[name]}")
            first_line[name] = number
            model = model_name(item.model)
        except ValidationError as error:
            bad.append((number, explain(error)))
        except ModelNotFound as error:
            bad.append((number, error.message))
        except ValueError as error:
            bad.append((number, str(error)))
        else:
            if not bad:  # otherwise nothing of it is kept: only the other bad lines are of interest
                yield _keep(item.model_copy(update={"id": name, "model": model}), number, sets)
    if bad:
        more = f"; and {len(bad) - _MOST_SHOWN} more lines" if len(bad) > _MOST_SHOWN else ""
        shown = "; ".join(f"line {number}: {text}" for number, text in bad[:_MOST_SHOWN])
        raise InvalidRequest(f"{shown}{more}", details={"lines": [number for number, _ in bad[:_MOST_SHOWN]]})
    if not count:
        raise InvalidRequest("the manifest holds no items; an item is a line of JSON")


def _keep(item: JobItem, line: int, sets: dict[str, Any]) -> KeptItem:
    media: dict[str, bytes] = {}
    request = _take_out(item.model_dump(exclude_none=True), media)
    if isinstance(item.references, str):
        request["references"] = sets.get(item.references, item.references)
    elif (identity := references_of(item)) is not None:
        sets.setdefault(identity, request["references"])
    return KeptItem(line, json.dumps(request), media)


def restore(request: str, load: Callable[[str], bytes]) -> JobItem:
    """The item with its media; `load` gives those of a name."""
    return JobItem.model_validate(_put_back(json.loads(request), load))


def _take_out(value: Any, media: dict[str, bytes]) -> Any:
    if isinstance(value, bytes | memoryview):
        name = sha256(value).hexdigest()
        media[name] = bytes(value)
        return {_MEDIA: name}
    if isinstance(value, dict):
        return {key: _take_out(one, media) for key, one in value.items()}
    return [_take_out(one, media) for one in value] if isinstance(value, list) else value


def _put_back(value: Any, load: Callable[[str], bytes]) -> Any:
    if isinstance(value, dict):
        if _MEDIA in value:
            return load(value[_MEDIA])
        return {key: _put_back(one, load) for key, one in value.items()}
    return [_put_back(one, load) for one in value] if isinstance(value, list) else value
