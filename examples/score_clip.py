"""Score one clip: in this process (`python examples/score_clip.py`) or by a service (`--url URL`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from identity_reward_client import HttpRewardClient, SyncRewardClient, local_client

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", default=HERE / "clips/two_people_one_missing.mp4")
    parser.add_argument("--reference", action="append", help="image of one person; repeat it for each person")
    parser.add_argument("--url", help="address of a service; if absent, the clip is scored in this process")
    args = parser.parse_args()
    references = args.reference or [HERE / "references/bea.jpg", HERE / "references/carl.jpg"]

    with SyncRewardClient(HttpRewardClient(args.url) if args.url else local_client()) as client:
        response = client.score(references, args.video, details=True)

    print(f"reward {response.reward:.4f} ({response.model.name}, frames {response.frame_indices})")
    for person in (response.details or {}).get("people", []):
        reference = Path(references[person["reference_index"]]).name
        print(f"{reference}: similarity {person['similarity']:.3f}, seen in {person['coverage']:.0%} of the frames")


if __name__ == "__main__":
    main()
