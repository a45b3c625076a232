"""The queue of the server: what counts as inside, and what becomes of work that nobody wants."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from speech2face.web.desk import Busy, Desk, TookTooLong


def done(work: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(1) as own_thread:  # Playwright keeps a loop in the thread of the tests
        own_thread.submit(asyncio.run, work).result(30)


async def until_inside(desk: Desk, n: int) -> None:
    end = time.monotonic() + 10
    while desk.n_inside != n:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_work_that_took_too_long_keeps_its_turn_until_it_ends() -> None:
    """Otherwise a queue that cannot move on would take in new requests without end."""

    async def play() -> None:
        desk, end = Desk(at_once=1, waiting=0, seconds=0.1), threading.Event()
        with pytest.raises(TookTooLong):
            await desk.do(end.wait, 20)
        await asyncio.sleep(0.1)
        assert desk.is_full and desk.n_inside == 1
        with pytest.raises(Busy):
            await desk.do(int)
        end.set()
        await until_inside(desk, 0)
        assert await desk.do(int) == 0

    done(play())


@pytest.mark.parametrize("how", ["late", "left"])
def test_work_that_still_waits_is_not_begun_when_nobody_wants_it(how: str) -> None:
    async def play() -> None:
        desk, end, begun = Desk(1, 5, 0.2 if how == "late" else 60), threading.Event(), []
        first = asyncio.ensure_future(desk.do(end.wait, 20))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(desk.do(begun.append, 1))
        await asyncio.sleep(0.05)
        if how == "left":
            second.cancel()
        found = await asyncio.gather(second, return_exceptions=True)
        assert isinstance(found[0], TookTooLong if how == "late" else asyncio.CancelledError)
        await until_inside(desk, 1)
        end.set()
        await asyncio.gather(first, return_exceptions=True)
        await until_inside(desk, 0)
        assert begun == []

    done(play())


def test_no_more_than_stated_work_at_the_same_time() -> None:
    async def play() -> None:
        desk, end, working = Desk(at_once=2, waiting=3, seconds=60), threading.Event(), []

        def work() -> None:
            working.append(1)
            end.wait(20)

        inside = [asyncio.ensure_future(desk.do(work)) for _ in range(5)]
        await asyncio.sleep(0.2)
        assert len(working) == 2
        end.set()
        await asyncio.gather(*inside)
        assert len(working) == 5

    done(play())


def test_as_many_as_stated_work_and_wait() -> None:
    async def play() -> None:
        desk, end = Desk(at_once=2, waiting=3, seconds=60), threading.Event()
        inside = [asyncio.ensure_future(desk.do(end.wait, 20)) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert desk.n_inside == 5 and desk.is_full
        with pytest.raises(Busy) as sent_away:
            await desk.do(int)
        assert sent_away.value.retry_after >= 1
        end.set()
        assert await asyncio.gather(*inside) == [True] * 5

    done(play())
