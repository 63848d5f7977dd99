"""Loaded once, within a limit, until idle."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

from comfyui_tandem.engine.conditions.shelf import Shelf


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_second_call_loads_nothing() -> None:
    shelf: Shelf[object] = Shelf(100, 60)
    first = shelf.take("net", 10, object)
    assert shelf.take("net", 10, object) is first and shelf.loads == 1


def test_threads_that_want_the_same_wait_for_one_load() -> None:
    shelf: Shelf[object] = Shelf(100, 60)

    def slow() -> object:
        time.sleep(0.05)
        return object()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: shelf.take("net", 1, slow), range(4)))
    assert len(set(made)) == 1 and shelf.loads == 1


def test_two_different_ones_load_at_the_same_time() -> None:
    shelf: Shelf[str] = Shelf(100, 60)
    meet = threading.Barrier(2, timeout=60)

    def load(name: str) -> str:
        meet.wait()
        return name

    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda name: shelf.take(name, 1, lambda: load(name)), ["a", "b"])
        assert list(made) == ["a", "b"]


def test_the_longest_unused_goes_first_when_memory_is_short() -> None:
    shelf: Shelf[str] = Shelf(100, 60)
    for name in ("a", "b", "a", "c"):
        shelf.take(name, 40, lambda name=name: name)
    assert "a" in shelf and "c" in shelf and "b" not in shelf and shelf.bytes == 80


def test_one_that_is_too_large_alone_stays_while_it_is_the_newest() -> None:
    shelf: Shelf[str] = Shelf(100, 60)
    shelf.take("small", 10, lambda: "small")
    shelf.take("huge", 1000, lambda: "huge")
    assert "huge" in shelf and "small" not in shelf
    shelf.take("small", 10, lambda: "small")
    assert "huge" not in shelf


def test_room_is_made_before_a_load_and_for_all_that_load_at_once() -> None:
    shelf: Shelf[str] = Shelf(100, 60)
    held: list[int] = []
    for name in ("a", "b", "c"):
        shelf.take(name, 40, lambda: "old")

    def load() -> str:
        held.append(shelf.bytes)
        return shelf.take("inner", 40, inner)

    def inner() -> str:
        held.append(shelf.bytes)
        return "net"

    shelf.take("outer", 50, load)
    assert held == [90, 90]  # c with outer, then outer with inner: never above 100


def test_what_is_idle_is_dropped_and_what_is_used_stays() -> None:
    clock = Clock()
    shelf: Shelf[str] = Shelf(100, 60, clock)
    shelf.take("a", 1, lambda: "a")
    clock.now = 40
    shelf.take("b", 1, lambda: "b")
    clock.now = 70
    shelf.drop_idle()
    assert "a" not in shelf and "b" in shelf


def test_idle_ones_go_by_themselves() -> None:
    shelf: Shelf[str] = Shelf(100, 0.1)
    shelf.take("a", 1, lambda: "a")
    deadline = time.monotonic() + 60
    while "a" in shelf and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "a" not in shelf


def test_a_failed_load_is_tried_again() -> None:
    shelf: Shelf[str] = Shelf(100, 60)

    def broken() -> str:
        raise OSError

    for load in (broken, lambda: "net"):
        try:
            found = shelf.take("net", 1, load)
        except OSError:
            continue
        assert found == "net" and shelf.loads == 1 and shelf.bytes == 1


def test_a_forgotten_shelf_goes_at_once_with_what_it_holds() -> None:
    class Network:
        pass

    shelf: Shelf[Network] = Shelf(100, idle_s=600)
    held = weakref.ref(shelf.take("a", 1, Network))
    del shelf
    gc.collect()
    assert held() is None
