"""Score one clip from Python. In this process: `python examples/score_clip.py`; by a service: `... --url URL`."""

from __future__ import annotations

import argparse
from pathlib import Path

from identity_reward_client import HttpRewardClient, SyncRewardClient, local_client

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default=HERE / "clips/two_people_one_missing.mp4")
    parser.add_argument("--reference", action="append", help="a picture of one person; again for each person")
    parser.add_argument("--url", help="of a running service; without it the clip is scored in this process")
    given = parser.parse_args()
    references = given.reference or [HERE / "references/bea.jpg", HERE / "references/carl.jpg"]

    with SyncRewardClient(HttpRewardClient(given.url) if given.url else local_client()) as client:
        answer = client.score(references, given.video, details=True)

    print(f"reward {answer.reward:.4f} ({answer.model.name}, frames {answer.frame_indices})")
    for person in (answer.details or {}).get("people", []):
        reference = Path(references[person["reference_index"]]).name
        print(f"{reference}: similarity {person['similarity']:.3f}, seen in {person['coverage']:.0%} of the frames")


if __name__ == "__main__":
    main()
