"""Many items on several processes: order, errors, and a process that dies."""

import os

import pytest

from sgenet.data import cores
from sgenet.errors import InputError

PARENT = os.getpid()


def double(item):
    assert os.getpid() != PARENT
    return 2 * item


def refuse_70(item):
    if item == 70:
        raise InputError("70.png: refused")
    return item


def die_at_70(item):
    if item == 70:
        os._exit(1)
    return item


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(cores, "count_cores", lambda: 2)


def test_results_come_in_order_from_other_processes():
    assert list(cores.map_on_cores(double, range(500))) == list(range(0, 1000, 2))


def test_few_items_stay_in_this_process():
    assert list(cores.map_on_cores(lambda item: os.getpid(), range(20))) == [PARENT] * 20


@pytest.mark.parametrize(("given", "expected"), [("", 8), ("3", 3), ("99", 8), ("0", 1), ("many", 8)])
def test_a_workflow_may_give_fewer_cores(monkeypatch, given, expected):
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setenv("SGENET_CORES", given)
    assert cores.count_cores() == expected


def test_errors_come_back():
    with pytest.raises(InputError, match="70.png: refused"):
        list(cores.map_on_cores(refuse_70, range(500)))


def test_a_killed_process_is_told_and_hangs_nothing():
    with pytest.raises(InputError, match="a process that read them was killed"):
        list(cores.map_on_cores(die_at_70, range(500)))
