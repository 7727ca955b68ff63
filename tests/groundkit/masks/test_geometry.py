"""Items kept apart: the greedy rule, by hand."""

from groundkit.masks.geometry import apart


def near(first: int, second: int) -> bool:
    return abs(first - second) < 10


def test_an_item_is_kept_unless_it_overlaps_one_kept_before() -> None:
    assert list(apart([50, 55, 62, 45, 64, 90], near)) == [50, 62, 90]  # 55 would keep 64 out, but is not kept itself
    assert list(apart([], near)) == []


def test_the_next_item_is_asked_for_only_when_the_one_before_has_been_used() -> None:
    used: list[int] = []

    def items():
        for item in (1, 20, 40):
            assert len(used) == (0, 1, 2)[(1, 20, 40).index(item)]
            yield item

    for item in apart(items(), near):
        used.append(item)
    assert used == [1, 20, 40]
