"""Start the service, score the example clips over HTTP, show their rewards and stop it: `make demo`.

Exits 1 unless every clip that keeps its people has a higher reward than every clip that does not.
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
from typing import Any

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
    """The demo cannot continue; the message is one line."""


@contextmanager
def service(*arguments: str) -> Iterator[str]:
    """The URL of a service on a free port, started with `arguments` of `serve`, and stopped at the end of the block."""
    command = [str(Path(sys.executable).with_name("identity-reward")), "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(START_TIMEOUT_S, process.terminate)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # printed when it is ready; empty if it ends before
        timer.cancel()
        if " on http://" not in line:
            code = process.wait()
            raise DemoFailed(f"the service did not start: `{' '.join(command)}` ended with code {code}")
        console.print(line.strip())
        yield line.split(" on ")[-1].strip()
    finally:
        timer.cancel()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def show(group: dict[str, Any], response: GroupResponse) -> None:
    """Print the rewards, and the probabilities of each clip against the first one of the group."""
    names = ", ".join(Path(path).stem for path in group["references"])
    table = Table(
        title=f"{group['title']} (references: {names})",
        title_justify="left",
        caption=f"beats, ties, loses: against the first clip; scored in {response.timing.total_ms / 1000:.1f} s",
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
    for clip, item in zip(group["clips"], response.items, strict=True):
        probabilities = ("", "", "")
        if item.index != first and response.win is not None and response.tie is not None:
            i = item.index
            probabilities = tuple(
                f"{p:.0%}" for p in (response.win[i][first], response.tie[i][first], response.win[first][i])
            )
        people = "[green]kept[/]" if clip["right"] else f"[red]{'copied' if clip['copied'] else 'lost'}[/]"
        table.add_row(Path(clip["file"]).stem, clip["shows"], people, f"{item.reward:.3f}", *probabilities)
    console.print(table)
    console.print()


def check_all_scored(group: dict[str, Any], response: GroupResponse) -> None:
    for clip, item in zip(group["clips"], response.items, strict=True):
        if item.error is not None:
            raise DemoFailed(f"{clip['file']} has no reward: {item.error.message} ({item.error.code})")


def check_order(group: dict[str, Any], response: GroupResponse) -> None:
    """DemoFailed unless every clip that keeps its people has a higher reward than every clip that does not."""
    scored = [(item.reward, clip) for clip, item in zip(group["clips"], response.items, strict=True)]
    worst_right = min((pair for pair in scored if pair[1]["right"]), key=lambda pair: pair[0])
    best_wrong = max((pair for pair in scored if not pair[1]["right"]), key=lambda pair: pair[0])
    if worst_right[0] <= best_wrong[0]:
        raise DemoFailed(
            f"{worst_right[1]['file']} ({worst_right[1]['shows']}) got {worst_right[0]:.3f}, not more than "
            f"{best_wrong[1]['file']} ({best_wrong[1]['shows']}) with {best_wrong[0]:.3f}"
        )


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the `finally` that stops the service
    groups = json.loads((HERE / "examples.json").read_text())["groups"]
    console.print("Starting the service ...")
    try:
        with service() as url, SyncRewardClient(HttpRewardClient(url)) as client:
            for group in groups:
                response = client.score_group(
                    [HERE / path for path in group["references"]],
                    [HERE / clip["file"] for clip in group["clips"]],
                    matrices=True,
                )
                check_all_scored(group, response)
                show(group, response)
                check_order(group, response)
            model = next(model for model in client.models() if model.name == response.model.name)
    except KeyboardInterrupt:
        return 130
    except (DemoFailed, RewardError) as error:
        console.print(f"demo failed: {error}", style="bold red", markup=False)
        return 1
    console.print(f"Model {model.name} {model.version}, fingerprint {model.fingerprint[:12]}: {model.description}")
    console.print(
        "Every clip that keeps its people has a higher reward than every clip that loses or copies one. The service is "
        "stopped.\n"
    )
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
