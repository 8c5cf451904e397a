import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_reward_client.wire.headers import PRIORITIES
from service.scheduling.fair_queue import WEIGHTS, FairQueue


class Item:
    def __init__(self, priority, client, cost):
        self.priority, self.client, self.cost = priority, client, cost

    def push(self, queue):
        queue.push(self, self.cost, self.priority, self.client)
        return self


def served(queue, budget):
    """Tokens by class and by client among the next `budget` tokens."""
    tokens: dict = {}
    while budget > 0 and len(queue):
        item = queue.pop()
        budget -= item.cost
        for key in (item.priority, item.client):
            tokens[key] = tokens.get(key, 0) + item.cost
    return tokens


def test_a_single_client_is_served_in_order():
    queue = FairQueue()
    items = [Item("rollout", "a", 10).push(queue) for _ in range(5)]
    assert queue.peek() is items[0]
    assert [queue.pop() for _ in range(5)] == items
    with pytest.raises(IndexError):
        queue.pop()


def test_classes_share_by_weight_and_none_starves():
    queue = FairQueue()
    for priority in PRIORITIES:
        for _ in range(400):
            Item(priority, priority[0], 10).push(queue)
    tokens = served(queue, 4000)
    total = sum(WEIGHTS.values())
    for priority in PRIORITIES:
        assert tokens[priority] == pytest.approx(4000 * WEIGHTS[priority] / total, abs=25)


def test_clients_of_a_class_get_equal_shares_whatever_they_sent():
    queue = FairQueue()
    for _ in range(300):
        Item("interactive", "greedy", 10).push(queue)
    for _ in range(30):
        Item("interactive", "modest", 5).push(queue)
    tokens = served(queue, 280)
    assert tokens["greedy"] == pytest.approx(tokens["modest"], abs=15)


def test_an_idle_client_is_served_next_and_accumulates_no_credit():
    queue = FairQueue()
    for _ in range(100):
        Item("bulk", "busy", 10).push(queue)
    for _ in range(50):
        queue.pop()
    late = [Item("bulk", "late", 10).push(queue) for _ in range(100)]
    assert late[0] in [queue.pop(), queue.pop()]
    assert served(queue, 400)["late"] == pytest.approx(200, abs=20)


def test_urgent_items_come_before_waiting_ones():
    queue = FairQueue()
    for _ in range(100):
        Item("bulk", "b", 100).push(queue)
    for _ in range(3):
        queue.pop()
    urgent = Item("rollout", "r", 100).push(queue)
    assert urgent in [queue.pop(), queue.pop()]


def test_removed_items_are_never_served():
    queue = FairQueue()
    items = [Item("rollout", name, 1).push(queue) for name in "abab"]
    assert queue.remove(items[1], "rollout", "b")
    assert not queue.remove(items[1], "rollout", "b")
    assert not queue.remove(Item("bulk", "z", 1), "bulk", "z")
    assert queue.drain() == [items[0], items[3], items[2]]


def test_state_of_idle_clients_is_dropped():
    queue = FairQueue()
    for number in range(1000):
        Item("interactive", f"client {number}", 1).push(queue)
        queue.pop()
    assert len(queue._classes["interactive"].clock._starts) <= 2


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(PRIORITIES), st.sampled_from("abc"), st.integers(1, 1000)),
            st.sampled_from(["pop", "remove"]),
        ),
        max_size=60,
    )
)
def test_every_pushed_item_is_popped_once(steps):
    queue, inside, out = FairQueue(), [], []
    for step in steps:
        if step == "pop" and inside:
            item = queue.pop()
            inside.remove(item)
            out.append(item)
        elif step == "remove" and inside:
            item = inside.pop(len(inside) // 2)
            assert queue.remove(item, item.priority, item.client)
        elif isinstance(step, tuple):
            inside.append(Item(*step).push(queue))
        assert len(queue) == len(inside)
    rest = queue.drain()
    assert set(rest) == set(inside)
    assert len(rest) == len(inside)
    for client in "abc":  # in a class, a client's own order is kept
        for priority in PRIORITIES:
            assert [i for i in rest if (i.priority, i.client) == (priority, client)] == [
                i for i in inside if (i.priority, i.client) == (priority, client)
            ]
