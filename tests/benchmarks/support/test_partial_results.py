from benchmarks.support.partial_results import PartialResults


def test_results_are_read_again_with_the_same_settings(tmp_path):
    path = tmp_path / "runs" / "partial.jsonl"
    PartialResults(path, {"seed": 1}).add("cast 0", {"honest": [1.5]})
    results = PartialResults(path, {"seed": 1})
    assert results["cast 0"] == {"honest": [1.5]}
    assert "cast 1" not in results
    assert "cast 0" not in PartialResults(path, {"seed": 2})
    # the file is now that of the other settings
    assert "cast 0" not in PartialResults(path, {"seed": 1})


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / "partial.jsonl"
    results = PartialResults(path, {})
    results.add("a", 1)
    results.add("b", 2)
    path.write_text(path.read_text()[:-5])
    results = PartialResults(path, {})
    assert "a" in results
    assert "b" not in results
    results.add("c", 3)
    assert PartialResults(path, {})["c"] == 3


def test_without_a_file_results_are_kept_in_memory():
    results = PartialResults(None, {})
    results.add("a", 1)
    assert results["a"] == 1
