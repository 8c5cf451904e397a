from tests.examples.scripts import EXAMPLES, GROUPS, load_script


def listed_clips() -> set[str]:
    return {clip["file"] for group in GROUPS for clip in group["clips"]}


def test_manifest_lists_every_file_and_files_are_small():
    listed = {path for group in GROUPS for path in group["references"]}
    listed |= listed_clips()
    files = [path for folder in ("clips", "references") for path in (EXAMPLES / folder).iterdir()]
    assert listed == {path.relative_to(EXAMPLES).as_posix() for path in files}
    assert sum(path.stat().st_size for path in files) < 5 << 20


def test_no_photograph_is_both_a_reference_and_in_a_clip_that_is_not_a_copy():
    make_clips = load_script("make_clips")
    used = []
    original = make_clips.load_image
    make_clips.load_image = lambda person, name: used.append((person, name)) or original(person, name)
    for name, clip in make_clips.CLIPS.items():
        if name == "one_person_copied":
            continue
        for t in (0.0, 0.5, 1.0):
            clip(t)
    in_clips = set(used)
    used.clear()
    for person in make_clips.REFERENCES.values():
        make_clips.reference(person)
    assert len(in_clips) >= 9
    assert in_clips.isdisjoint(used)
    assert {clip["file"] for group in GROUPS for clip in group["clips"]} == {
        f"clips/{name}.mp4" for name in make_clips.CLIPS
    }
