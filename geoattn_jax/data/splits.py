"""The three parts of a data set."""

from typing import Literal

Split = Literal["train", "validation", "test"]

SPLITS = ("train", "validation", "test")
