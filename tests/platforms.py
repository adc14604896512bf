"""Marks for tests of what not every operating system has."""

import os

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals, forks, named pipes or paths")
links = pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make symbolic links")
