import os
import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="Windows counts no page faults by `getrusage`")

# Prints whether the memory is kept, and the page faults of a tensor of 64 MiB that replaces earlier ones.
PROGRAM = """
import resource
import ctypes
if hasattr(ctypes.CDLL(None), "prctl"):
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: huge pages would be few faults either way
import torch
from fanet.cli.allocator import keep_freed_memory
kept = keep_freed_memory()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


FEW = 2**26 // os.sysconf("SC_PAGE_SIZE") // 4


def run(**variables: str) -> tuple[bool, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PROGRAM]
    printed = subprocess.run(command, env=environment | variables, check=True, capture_output=True, text=True).stdout
    kept, faults = printed.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_freed_memory_is_kept():
    kept, faults = run()
    assert kept and faults < FEW


@pytest.mark.parametrize("variable", ["MALLOC_TOP_PAD_", "GLIBC_TUNABLES"])
def test_memory_settings_of_the_user_are_kept(variable):
    value = "glibc.malloc.top_pad=131072" if variable == "GLIBC_TUNABLES" else "131072"
    kept, faults = run(**{variable: value})
    assert not kept
    assert faults > FEW or sys.platform != "linux"
