"""A process that stays keeps the memory of one photo for the next."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from facauth.memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [np.ones(12_000_000, np.uint8) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_memory()
first, *_, last = (faults() for _ in range(4))
print(first, last)
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in getattr(os, "confstr_names", ()), reason="glibc")
def test_a_process_that_stays_takes_no_fresh_memory_for_each_photo() -> None:
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    first, last = map(int, run.stdout.split())
    assert first > 100
    assert last < first / 10
