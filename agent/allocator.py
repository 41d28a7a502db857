"""How the C library gives out memory: with few arenas, so that what one thread frees another uses again.

glibc gives threads arenas of their own, up to eight for each core, and keeps what is freed in each. The agent has some
sixty threads that take turns at one lock, Python's own, so they gain nothing by that.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

ARENAS = 2
_M_ARENA_MAX = -8  # of malloc.h


def use_few_arenas(environment: Mapping[str, str] = os.environ) -> bool:
    """Limit the arenas, before threads are there; whether that was done: other C libraries know no such thing.

    MALLOC_ARENA_MAX, where it is set, has said already how many are wanted.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or "MALLOC_ARENA_MAX" in environment:
        return False
    return bool(mallopt(_M_ARENA_MAX, ARENAS))
