"""Every runner does all tasks, and none is stopped by one that dies."""

from collections.abc import Iterator

import pytest
from hostile_work import RUNNERS, die_at_three, fail_at_three, square

from speech2face.errors import Speech2FaceError
from speech2face.runners import ray_tasks

RAY = pytest.param("ray", marks=pytest.mark.slow)  # a cluster needs ten seconds to start
NAMES = ["serial", "processes", RAY]


def never(task: int) -> int:
    raise AssertionError(f"the worker of {task} died")


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_done_once(name: str) -> None:
    results = list(RUNNERS[name](square, range(1, 12), never))
    assert sorted(results) == [(number, number * number) for number in range(1, 12)]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_task_raises_is_raised_here(name: str) -> None:
    with pytest.raises(ValueError, match="three"):
        list(RUNNERS[name](fail_at_three, range(1, 6), never))


@pytest.mark.parametrize("name", NAMES)
def test_a_dead_worker_costs_its_own_task_only(name: str) -> None:
    asked: list[int] = []

    def again(task: int) -> int:
        asked.append(task)
        return 30

    results = dict(RUNNERS[name](die_at_three, range(1, 9), again))
    assert asked == [3]
    assert results == {task: task for task in (1, 2, 4, 5, 6, 7, 8, 30)}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_raised_instead_of_another_try_ends_the_run(name: str) -> None:
    def again(task: int) -> int:
        raise Speech2FaceError("enough", "stop")

    with pytest.raises(Speech2FaceError, match="enough"):
        list(RUNNERS[name](die_at_three, range(1, 9), again))


def test_tasks_are_taken_one_by_one_as_workers_become_free() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(1, 100):
            taken.append(number)
            yield number

    work = RUNNERS["processes"](square, tasks(), never)
    next(work)
    assert len(taken) <= 3
    work.close()  # type: ignore[attr-defined]


def test_a_cluster_that_is_not_there_is_one_clear_error() -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    with pytest.raises(Speech2FaceError, match="no cluster can be started or reached"):
        list(ray_tasks.run(square, [1], never, address="127.0.0.1:1"))
