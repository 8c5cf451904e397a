"""Parts of JSON responses."""

SCORED = {"fps": 1, "num_source_frames": 1, "frame_indices": [0]}
STAMP = {"name": "x", "version": "1", "fingerprint": "f", "domain": "none", "frame_sampling": "u", "prompt_used": True}
COMMON = {"request_id": "1", "model": STAMP, "timing": {}}
ITEM = {"index": 0, "scored": {"reward": 0.5, **SCORED}}
