"""Whether a workdir can go on under a config: what was trained stays, what else hangs on a change goes.

The record of a workdir, geoattn_jax.json, holds "config", the config in force; "data", what its data were
(see `data_record`); and "left", what those stages depended on that are kept although the config in force has
no use for them: they may be asked for again.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from geoattn_jax.experiments.core.config import Config, ConfigError, Rule, flatten, nest
from geoattn_jax.experiments.core.data_record import DataRecord, differences, some, split_digest
from geoattn_jax.experiments.core.experiment import Experiment, Prepared
from geoattn_jax.experiments.core.stages import Plan
from geoattn_jax.training.workdir import Record, WorkdirError, unchanged

_log = logging.getLogger(__name__)


class Dependence(NamedTuple):
    """What the outcome of a stage depended on: keys with their values, and digests of splits of the data."""

    keys: dict[str, Any]
    data: dict[str, str]


class Changes(NamedTuple):
    """What differs of that.

    Attributes:
      keys: of the config, with the values then and now.
      data: splits.
    """

    keys: dict[str, tuple[Any, Any]]
    data: list[str]


def completed(experiment: Experiment, values: Mapping[str, Any]) -> Config:
    """A recorded config, with the defaults of those keys that there were not yet when it was written."""
    return with_defaults(values, experiment.rules, experiment.defaults)


def with_defaults(
    values: Mapping[str, Any],
    rules: Callable[[Config], Mapping[str, Rule]],
    defaults_of: Callable[[Config], Config],
) -> Config:
    """The same, from what the experiment declares."""
    config = Config(values)
    known, wanted = flatten(config), rules(config).keys()
    defaults = flatten(defaults_of(config))
    return nest(known | {key: value for key, value in defaults.items() if key in wanted - known.keys()})


def resume(
    experiment: Experiment, prepared: Prepared, folder: Path, before: Record | None, now: Record
) -> Record:
    """The record of a workdir under a config; deletes what was computed, not trained, from what changed.

    Args:
      experiment: the config's.
      prepared: its plan and its data count.
      folder, before, now: see `open_workdir`.

    Raises: WorkdirError, before anything is deleted, if a training that was begun depends on a change. It
      names the keys or the files, the values, and the trainings.
    """
    known = (before or {}).get("data")
    data = prepared.data(known or {})
    if before is None:
        return {**now, "data": data}
    old_plan = _plan_of(experiment, before["config"])
    if old_plan is None:
        return unchanged(folder, before, now)
    if known is None:
        _check_same_place(folder, prepared.plan, before["config"], now["config"])
        known = data  # nobody knows better
    earlier = {path: Dependence(**one) for path, one in before.get("left", {}).items()}
    earlier |= _dependences(old_plan, known)
    present = _dependences(prepared.plan, data)
    changes = {
        path: _changes(earlier[path], one)
        for path, one in present.items()
        if path in earlier and _is_begun(folder / path)
    }
    changes = {path: one for path, one in changes.items() if one.keys or one.data}
    lost = {path: one for path, one in changes.items() if prepared.plan.stages[path].steps is not None}
    if lost:
        raise WorkdirError(
            f"workdir {folder} has trainings that depend on what changed: {_reasons(lost, known, data)}; "
            f"use another folder, or the old value to go on"
        )
    _tell(before["config"], now["config"], known, data, list(changes))
    for path in changes:
        (folder / path).unlink()
    left = {
        path: one._asdict()
        for path, one in earlier.items()
        if path not in present and _is_begun(folder / path)
    }
    return {**now, "data": data, **({"left": left} if left else {})}


def _plan_of(experiment: Experiment, values: Mapping[str, Any]) -> Plan | None:
    """The stages under a recorded config; None if it is of another experiment or another version's keys."""
    if values.get("experiment") != experiment.name:
        return None
    try:
        config = completed(experiment, values)
        if flatten(config).keys() != experiment.rules(config).keys():
            return None
        return experiment.plan(config)
    except (AttributeError, ConfigError, KeyError):
        return None


def _check_same_place(folder: Path, plan: Plan, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Checks that the data are where they were, as a record of an earlier version says nothing else of them.

    Raises: WorkdirError naming the key.
    """
    old, new = flatten(Config(before)), flatten(Config(now))
    for key in plan.places:
        if old.get(key) != new.get(key):
            raise WorkdirError(
                f"workdir {folder} does not tell what the data were ({key}: {_show(old.get(key))} then, "
                f"{_show(new.get(key))} now); go on with the old value once, or use another folder"
            )


def _dependences(plan: Plan, data: DataRecord) -> dict[str, Dependence]:
    digests = {split: split_digest(items) for split, items in data.items()}
    found = {}
    for path in plan.stages:
        keys, splits = plan.identity(path)
        values = json.loads(json.dumps(dict(keys)))
        found[path] = Dependence(values, {split: digests[split] for split in splits & digests.keys()})
    return found


def _changes(before: Dependence, now: Dependence) -> Changes:
    keys = {
        key: (before.keys[key], value)
        for key, value in now.keys.items()
        if key in before.keys and before.keys[key] != value
    }
    data = [split for split, digest in now.data.items() if before.data.get(split, digest) != digest]
    return Changes(keys, data)


def _is_begun(path: Path) -> bool:
    """Whether there is the file of something computed, or a checkpoint of a training."""
    if path.is_file():
        return True
    checkpoints = path / "checkpoints"
    return checkpoints.is_dir() and any(entry.name.isdigit() for entry in checkpoints.iterdir())


def _reasons(lost: Mapping[str, Changes], before: DataRecord, now: DataRecord) -> str:
    """Every change with the trainings that hang on it."""
    hanging: dict[str, list[str]] = {}
    for path, changes in lost.items():
        for key, (old, new) in changes.keys.items():
            hanging.setdefault(f"{key}: {_show(old)} then, {_show(new)} now", []).append(path)
        for split in changes.data:
            what = differences(before.get(split, {}), now.get(split, {})) or "others then"
            hanging.setdefault(f"{split} data: {what}", []).append(path)
    return "; ".join(f"{change}, on which {some(paths)} hang" for change, paths in hanging.items())


def _tell(
    old_config: Mapping[str, Any],
    new_config: Mapping[str, Any],
    before: DataRecord,
    now: DataRecord,
    again: list[str],
) -> None:
    """Says what changed, and what is computed again."""
    old, new = flatten(Config(old_config)), flatten(Config(new_config))
    told = [
        f"{key}: {_show(old.get(key))} then, {_show(new.get(key))} now"
        for key in sorted(old.keys() | new.keys())
        if _show(old.get(key)) != _show(new.get(key))
    ]
    for split in sorted(before.keys() | now.keys()):
        if what := differences(before.get(split, {}), now.get(split, {})):
            told.append(f"{split} data: {what}")
    if told:
        computed = f"{some(again)} made again" if again else "nothing made again"
        _log.info("changed since the last run: %s; trainings are kept, %s", "; ".join(told), computed)


def _show(value: Any) -> str:
    return json.dumps(value)
