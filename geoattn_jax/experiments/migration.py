"""Workdirs of paper B's experiments that an earlier version started, in today's words.

Localizers were then named by their size alone, which stood for another network at each scale, and so for the
recognizer's. Old rows are read by `core.results`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoattn_jax.experiments.attention.networks import NETWORKS
from geoattn_jax.experiments.table_2.experiment import OF_TABLE_2
from geoattn_jax.files import write_text
from geoattn_jax.training import open_workdir, read_config
from geoattn_jax.training.workdir import MARKER

# Today's names by the old ones, by scale; and the recognizer, which was no key.
LOCALIZERS = {
    "mini": {"small": "small", "middle": "medium", "large": "large"},
    "paper": {"small": "vgg_f", "middle": "vgg_m", "large": "vgg_16"},
}
RECOGNIZERS = {"mini": "small_wide", "paper": "vgg_16"}


def is_old(config: Mapping[str, Any]) -> bool:
    """Whether a config names localizers by their size alone."""
    return config.get("experiment") in ("supervised_attention", "six_streams") and "recognizer" not in config


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with today's names of networks; others stay as they are."""
    if not is_old(config):
        return dict(config)
    names = LOCALIZERS[config["scale"]]
    renamed = {**config, "recognizer": RECOGNIZERS[config["scale"]]}
    if "localizer" in config:
        renamed["localizer"] = names[config["localizer"]]
    else:
        renamed["localizers"] = [names[old] for old in config["localizers"]]
        renamed["models"] = {
            level: {
                **{name: list(OF_TABLE_2) for name in NETWORKS},
                **{names[old]: kept for old, kept in of_level.items()},
            }
            for level, of_level in config["models"].items()
        }
    return renamed


def bring_up_to_date(workdir: str | os.PathLike) -> None:
    """Renames in a workdir of an earlier version what has another name today; others are left alone.

    It can be cut off at any moment and called again: first the folders are renamed, then the config.

    Raises: WorkdirError if the folder's record is damaged, or another process uses it.
    """
    marker = Path(workdir) / MARKER
    if not marker.exists() or not is_old(before := read_config(workdir)):
        return
    with open_workdir(workdir, before) as folder:
        for old, new in LOCALIZERS[before["scale"]].items():
            for runs in sorted({run.parent for run in folder.rglob(f"{old}/seed_*")}):
                runs.rename(runs.with_name(new))
        record = json.loads(marker.read_text())
        write_text(marker, json.dumps({**record, "config": current_config(before)}, indent=2))
