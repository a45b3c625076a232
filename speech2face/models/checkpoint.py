"""Checkpoints: one folder with tensors as safetensors and everything else as JSON, no pickle.

    RUN/checkpoint.json                       configuration, counters, metrics, names and digests
    RUN/weights-<sha256, 12 digits>.safetensors
    RUN/optimizer-<sha256, 12 digits>.safetensors

A tensor file is named after its content, so a new one never overwrites an old one. The JSON is
replaced last, in one rename: a run that is killed at any moment leaves the old checkpoint or the
new one, whole. Files that the JSON no longer names are removed afterwards.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from speech2face.errors import Speech2FaceError
from speech2face.records import read_json_object, shown

FORMAT = 1
RECORD = "checkpoint.json"
_PREFIXES = ("weights", "optimizer")
_REMEDY = "take an earlier copy of the checkpoint, or train again"

Config = TypeVar("Config")


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on, or a model to be used."""

    weights: Mapping[str, Tensor]  # a module's `state_dict()`
    config: Any  # a frozen dataclass when saved, plain values when loaded: see `restore_config`
    step: int = 0
    samples_seen: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    optimizer: Mapping[str, Any] | None = None  # an optimizer's `state_dict()`


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write `checkpoint` into `directory`, replacing the one that is there.

    Raises:
        Speech2FaceError: the folder cannot be written, or a metric is not finite.
    """
    record: dict[str, Any] = {
        "format": FORMAT,
        "step": checkpoint.step,
        "samples_seen": checkpoint.samples_seen,
        "metrics": dict(checkpoint.metrics),
        "config": _plain(checkpoint.config),
    }
    tensors = {"weights": dict(checkpoint.weights)}
    if checkpoint.optimizer is not None:
        tensors["optimizer"], record["optimizer_state"] = _split_optimizer(checkpoint.optimizer)
    try:
        json.dumps(record, allow_nan=False)
    except ValueError as not_finite:
        problem = "a metric or setting is not a finite number"
        remedy = "training has diverged: go on from an earlier checkpoint at a lower learning rate"
        raise Speech2FaceError(problem, remedy, str(directory)) from not_finite
    try:
        directory.mkdir(parents=True, exist_ok=True)
        files = {name: _write_tensors(group, directory, name) for name, group in tensors.items()}
        _replace_text(directory / RECORD, json.dumps(record | {"files": files}, indent=1))
        _remove_unnamed(directory, files)
    except OSError as refused:
        problem = f"the checkpoint cannot be written ({refused.strerror})"
        raise Speech2FaceError(
            problem, "give a folder with room to write", str(directory)
        ) from refused


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read the checkpoint of `directory`, every tensor on the CPU, every digest verified.

    Raises:
        Speech2FaceError: it is missing, damaged, cut off or not ours; the message names the file.
    """
    record = _read_record(directory)
    try:
        groups = {
            name: _read_tensors(directory / file["name"], file["sha256"])
            for name, file in record["files"].items()
        }
        state = record.get("optimizer_state")
        return Checkpoint(
            weights=groups["weights"],
            config=record["config"],
            step=record["step"],
            samples_seen=record["samples_seen"],
            metrics=record["metrics"],
            optimizer=None if state is None else _join_optimizer(groups["optimizer"], state),
        )
    except (KeyError, TypeError, AttributeError) as foreign:
        problem = f"the checkpoint is incomplete: {foreign!r}"
        raise Speech2FaceError(problem, _REMEDY, str(directory / RECORD)) from foreign


def has_checkpoint(directory: Path) -> bool:
    """There is something in `directory` to go on from."""
    return (directory / RECORD).exists()


def restore_weights(module: nn.Module, weights: Mapping[str, Tensor], path: str) -> None:
    """Load `weights` into `module`; names and shapes must be exactly its own.

    Raises:
        Speech2FaceError: they belong to another network; `path` is the file named.
    """
    own = module.state_dict()
    if own.keys() != weights.keys():
        differing = sorted(own.keys() ^ weights.keys())
        problem = (
            f"weights of another network: {len(differing)} names differ, such as {differing[0]}"
        )
        raise Speech2FaceError(problem, "build the network from the checkpoint's own config", path)
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            problem = (
                f"{name} is {tuple(weights[name].shape)}, the network has {tuple(tensor.shape)}"
            )
            raise Speech2FaceError(
                problem, "build the network from the checkpoint's own config", path
            )
    module.load_state_dict(dict(weights))


def restore_config(config_class: type[Config], values: Mapping[str, Any], path: str) -> Config:
    """The dataclass that `values` of a loaded checkpoint were made from.

    Raises:
        Speech2FaceError: a setting is unknown to this version, or out of range.
    """
    types = get_type_hints(config_class)
    known = {setting.name for setting in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    if unknown := sorted(values.keys() - known):
        raise Speech2FaceError(f"unknown settings {unknown}", f"known are {sorted(known)}", path)
    nested = {
        name: restore_config(types[name], value, path)
        for name, value in values.items()
        if dataclasses.is_dataclass(types[name]) and isinstance(value, Mapping)
    }
    return config_class(**(dict(values) | nested))


def _plain(config: Any) -> Any:
    is_dataclass = dataclasses.is_dataclass(config) and not isinstance(config, type)
    return dataclasses.asdict(config) if is_dataclass else config


def _split_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by `<parameter>.<name>`, and the rest, of an optimizer's `state_dict()`."""
    tensors: dict[str, Tensor] = {}
    counters: dict[str, Any] = {}
    for parameter, values in state["state"].items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else counters)[f"{parameter}.{name}"] = value
    return tensors, {"counters": counters, "param_groups": state["param_groups"]}


def _join_optimizer(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `_split_optimizer`; JSON has made lists of tuples such as Adam's betas."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **rest["counters"]}.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    groups = [
        {
            name: tuple(value) if isinstance(value, list) and name != "params" else value
            for name, value in group.items()
        }
        for group in rest["param_groups"]
    ]
    return {"state": state, "param_groups": groups}


def _write_tensors(tensors: Mapping[str, Tensor], directory: Path, name: str) -> dict[str, str]:
    """Write one tensor file under its final name; returns that name and the digest."""
    handle, temporary = tempfile.mkstemp(prefix=f".{name}-", suffix=".tmp", dir=directory)
    os.close(handle)
    try:
        # Copies: safetensors refuses tensors that share memory, as tied weights do.
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        save_file(copies, temporary)
        digest = _sha256(Path(temporary))
        final = directory / f"{name}-{digest[:12]}.safetensors"
        os.chmod(temporary, 0o644)
        os.replace(temporary, final)
    except SafetensorError as refused:  # it wraps a full disk too
        raise OSError(0, str(refused)) from refused
    finally:
        Path(temporary).unlink(missing_ok=True)
    return {"name": final.name, "sha256": digest}


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text + "\n")
    os.replace(temporary, path)


def _remove_unnamed(directory: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """Remove the tensor files of earlier checkpoints, and what a killed run left half-written."""
    named = {file["name"] for file in files.values()}
    for prefix in _PREFIXES:
        stale = [*directory.glob(f"{prefix}-*.safetensors"), *directory.glob(f".{prefix}-*.tmp")]
        for path in stale:
            if path.name not in named:
                path.unlink(missing_ok=True)


def _read_record(directory: Path) -> dict[str, Any]:
    path = directory / RECORD
    try:
        record = read_json_object(path, remedy=_REMEDY)
    except Speech2FaceError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            remedy = f"give a folder that holds {RECORD}, such as the --run-dir of a training"
            raise Speech2FaceError("no checkpoint here", remedy, str(directory)) from error
        raise
    if "format" not in record or "files" not in record:
        raise Speech2FaceError("not a checkpoint of speech2face", _REMEDY, str(path))
    if record["format"] != FORMAT:
        problem = f"checkpoint format {shown(record['format'])}, this version reads {FORMAT}"
        raise Speech2FaceError(problem, "use the version that wrote it", str(path))
    return record


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise Speech2FaceError("a file of the checkpoint is missing", _REMEDY, str(path))
    if _sha256(path) != sha256:
        raise Speech2FaceError("the file is cut off or has been changed", _REMEDY, str(path))
    try:
        return load_file(path)
    except SafetensorError as foreign:
        raise Speech2FaceError("not a safetensors file", _REMEDY, str(path)) from foreign


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
