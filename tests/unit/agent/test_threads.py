"""Rules of the threads that `exec` starts, and of what they wait for each other with."""

import os
import signal
from types import FrameType

from agent.threads import Condition, Event, Lock, Thread

DEADLINE_SECONDS = 20


def test_a_thread_is_waited_for() -> None:
    """When `join` returns, its function has; and again, and if it was never begun."""
    go, done = Event(), []

    def work() -> None:
        go.wait(DEADLINE_SECONDS)
        done.append(1)

    thread = Thread(work)
    thread.join()
    thread.start()
    go.set()
    thread.join()
    thread.join()
    assert done == [1]


def test_an_event_wakes_all_who_wait() -> None:
    """Whoever comes later does not wait at all."""
    event, woken = Event(), []
    threads = [Thread(lambda: woken.append(event.wait(DEADLINE_SECONDS))) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert not event.is_set()
    event.set()
    for thread in threads:
        thread.join()
    assert woken == [True] * 5
    assert event.wait(0)


def test_who_waits_for_a_time_goes_on_after_it() -> None:
    """And is told that it has not come; a later notice harms nobody."""
    changed = Condition()
    with changed:
        assert not changed.wait_for(lambda: False, 0.01)
        assert not changed.wait_for(lambda: False, -1)
        changed.notify_all()
    assert not Event().wait(0.01)


def test_who_waits_lets_go_of_the_lock_however_often_it_is_held() -> None:
    """Else nobody could bring about what it waits for; afterwards it is held as before."""
    changed, seen = Condition(), []

    def change() -> None:
        with changed:
            seen.append(1)
            changed.notify_all()

    thread = Thread(change)
    with changed, changed:
        thread.start()
        assert changed.wait_for(lambda: bool(seen), DEADLINE_SECONDS)
        again = Thread(change)
        again.start()
        assert seen == [1]  # it cannot come in: both of our holds are there again
    again.join()
    assert seen == [1, 1]


def test_a_wait_as_long_as_any_is_no_error() -> None:
    """A timeout of years is more than the system's clock takes."""
    changed, seen = Condition(), []

    def change() -> None:
        with changed:
            seen.append(1)
            changed.notify_all()

    with changed:
        Thread(change).start()
        assert changed.wait_for(lambda: bool(seen), 1e300)


def test_a_signal_handler_takes_the_lock_that_its_thread_holds() -> None:
    """It interrupts whoever holds it, who cannot go on before it returns."""
    changed, seen = Condition(), []

    def handle(_number: int, _frame: FrameType | None) -> None:
        with changed:
            seen.append(1)

    former = signal.signal(signal.SIGUSR1, handle)
    try:
        with changed:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert changed.wait_for(lambda: bool(seen), DEADLINE_SECONDS)
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_a_lock_is_held_by_one() -> None:
    """The second has to wait."""
    lock = Lock()
    with lock:
        assert not lock.acquire(blocking=False)
    assert lock.acquire(blocking=False)
