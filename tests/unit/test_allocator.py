"""The agent's memory is shared by its threads."""

import ctypes
import subprocess
import sys

import pytest

from agent.allocator import ARENAS, use_few_arenas

THREADS = 20
SCRIPT = f"""
import ctypes, sys, threading
from agent.allocator import use_few_arenas
if sys.argv[1] == "few":
    assert use_few_arenas({{}})
barrier, kept = threading.Barrier({THREADS} + 1), []
def work():
    kept.append(ctypes.create_string_buffer(50_000))
    barrier.wait(30)
for _ in range({THREADS}):
    threading.Thread(target=work).start()
barrier.wait(30)
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")
def test_many_threads_share_few_arenas():
    assert arenas("many") > ARENAS >= arenas("few") >= 1


def arenas(how):
    command = [sys.executable, "-c", SCRIPT, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.count("<heap nr=")


def test_what_the_environment_says_counts():
    assert use_few_arenas({"MALLOC_ARENA_MAX": "4"}) is False
