import math

from service.scheduling.call import REQUEST_ID, Call, new_id
from tests.service.scheduling.tasks import FakeClock


def test_every_call_has_a_valid_id_of_its_own():
    assert Call().request_id != Call().request_id
    assert REQUEST_ID.fullmatch(new_id())


def test_remaining_time_ends_at_the_deadline(monkeypatch):
    clock = FakeClock(monkeypatch, "service.scheduling.call")
    call = Call(deadline=clock.now + 2)
    assert call.remaining_s == 2
    clock.now += 3
    assert call.remaining_s == -1
    assert Call().remaining_s == math.inf
