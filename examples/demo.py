"""Start the service, score the example clips over HTTP, show what they got, stop it again: `make demo`.

Exits 1 if a clip that keeps its people does not come above every clip that does not.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from identity_reward_client import HttpRewardClient, RewardError, SyncRewardClient
from identity_reward_client.messages import GroupResponse

HERE = Path(__file__).resolve().parent
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30
console = Console(highlight=False)


class DemoFailed(Exception):
    """One line: what went wrong."""


@contextmanager
def service(*arguments: str) -> Iterator[str]:
    """The URL of a service on a free port, with `arguments` of `serve`; it is gone when the block ends."""
    command = [str(Path(sys.executable).with_name("identity-reward")), "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    impatience = threading.Timer(START_TIMEOUT_S, process.terminate)
    impatience.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # said when it is ready; nothing if it ends before
        impatience.cancel()
        if " on http://" not in line:
            code = process.wait()
            raise DemoFailed(f"the service did not start: `{' '.join(command)}` ended with code {code}")
        console.print(line.strip())
        yield line.split(" on ")[-1].strip()
    finally:
        impatience.cancel()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def show(group: dict, answer: GroupResponse) -> None:
    """The rewards, and each clip's chances against the group's first one, as the service answered them."""
    names = ", ".join(Path(path).stem for path in group["references"])
    table = Table(
        title=f"{group['title']} (references: {names})",
        title_justify="left",
        caption=f"beats, ties, loses: against the first clip; scored in {answer.timing.total_ms / 1000:.1f} s",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("clip", no_wrap=True)
    table.add_column("what it shows")
    table.add_column("people")
    for column in ("reward", "beats", "ties", "loses"):
        table.add_column(column, justify="right")
    first = 0
    for clip, item in zip(group["clips"], answer.items, strict=True):
        chances = ("", "", "")
        if item.index != first and answer.win is not None and answer.tie is not None:
            i = item.index
            chances = tuple(f"{p:.0%}" for p in (answer.win[i][first], answer.tie[i][first], answer.win[first][i]))
        people = "[green]kept[/]" if clip["right"] else "[red]lost[/]"
        table.add_row(Path(clip["file"]).stem, clip["shows"], people, f"{item.reward:.3f}", *chances)
    console.print(table)
    console.print()


def check_all_scored(group: dict, answer: GroupResponse) -> None:
    for clip, item in zip(group["clips"], answer.items, strict=True):
        if item.error is not None:
            raise DemoFailed(f"{clip['file']} has no reward: {item.error.message} ({item.error.code})")


def check_order(group: dict, answer: GroupResponse) -> None:
    """DemoFailed unless every clip that keeps its people is above every one that does not."""
    scored = [(item.reward, clip) for clip, item in zip(group["clips"], answer.items, strict=True)]
    worst_right = min((pair for pair in scored if pair[1]["right"]), key=lambda pair: pair[0])
    best_wrong = max((pair for pair in scored if not pair[1]["right"]), key=lambda pair: pair[0])
    if worst_right[0] <= best_wrong[0]:
        raise DemoFailed(
            f"{worst_right[1]['file']} ({worst_right[1]['shows']}) got {worst_right[0]:.3f}, not more than "
            f"{best_wrong[1]['file']} ({best_wrong[1]['shows']}) with {best_wrong[0]:.3f}"
        )


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of the `finally` that stops the service
    groups = json.loads((HERE / "examples.json").read_text())["groups"]
    console.print("Starting the service ...")
    try:
        with service() as url, SyncRewardClient(HttpRewardClient(url)) as client:
            for group in groups:
                answer = client.score_group(
                    [HERE / path for path in group["references"]],
                    [HERE / clip["file"] for clip in group["clips"]],
                    matrices=True,
                )
                check_all_scored(group, answer)
                show(group, answer)
                check_order(group, answer)
            model = next(model for model in client.models() if model.name == answer.model.name)
    except KeyboardInterrupt:
        return 130
    except (DemoFailed, RewardError) as error:
        console.print(f"demo failed: {error}", style="bold red", markup=False)
        return 1
    console.print(f"Model {model.name} {model.version}, fingerprint {model.fingerprint[:12]}: {model.description}")
    console.print("Every clip that keeps its people came above every clip that lost one. The service is stopped.\n")
    console.print(HOW_TO, markup=False, soft_wrap=True)
    return 0


HOW_TO = """To do the same yourself, start it with `make serve` and send a clip:

  curl -s http://127.0.0.1:3000/v1/score -H 'Content-Type: application/json' -d @- <<EOF
  {"references": [{"data": "$(base64 < examples/references/anna.jpg | tr -d '\\n')"}],
   "video": {"data": "$(base64 < examples/clips/one_person.mp4 | tr -d '\\n')"}, "details": true}
  EOF

  .venv/bin/identity-reward rank --reference examples/references/anna.jpg examples/clips/one_person*.mp4"""

if __name__ == "__main__":
    sys.exit(main())
