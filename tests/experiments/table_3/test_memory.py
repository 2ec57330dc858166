"""What the features of all frames need of the memory, in a process of its own."""

import os
import subprocess
import sys

import memory_of_features as memory


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    """Four times as many clips: what comes on top is a small part of what was kept on the disk."""
    command = [sys.executable, memory.__file__, str(tmp_path), "200"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown, kept = map(int, done.stdout.split())
    assert kept > 150e6
    assert grown < kept / 4
