from service.operations import status
from tests.service.flat_settings import flat_settings


def test_a_report_is_read_back(tmp_path):
    settings = flat_settings(status_path=tmp_path / "status.json")
    assert status.read(settings) is None
    status.report(settings, ["tiny", "compact"])
    assert status.read(settings) == {"models": ["tiny", "compact"], "failed": None}
    status.report(settings, failed="no such file")
    assert status.read(settings) == {"models": [], "failed": "no such file"}
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_without_a_file_nothing_is_reported():
    settings = flat_settings()
    status.report(settings, ["tiny"])
    assert status.read(settings) is None
