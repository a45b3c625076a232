"""Checkpoints: one folder with tensors as safetensors and everything else as JSON, no pickle.

    RUN/checkpoint.json                        family, configuration, counters, names and digests
    RUN/weights-<sha256, 12 digits>.safetensors
    RUN/optimizers-<sha256, 12 digits>.safetensors

A tensor file is named after its content, so a new one never overwrites an old one. The JSON is
replaced last, in one rename: a run that is killed at any moment leaves the old checkpoint or the
new one, whole. Files that the JSON no longer names are removed afterwards.

A checkpoint says to which family it belongs and holds named modules, since a training may have
several networks, each with its optimiser.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from speech2face.configuration import require, restored, to_json
from speech2face.errors import Speech2FaceError
from speech2face.files import sha256_of_file, write_whole
from speech2face.records import read_json_object

FORMAT = 2
RECORD = "checkpoint.json"
WEIGHTS, OPTIMIZERS = "weights", "optimizers"
Family = Literal[
    "paper voice encoder",
    "paper face decoder",
    "embedded",
    "svhf",
    "kim",
    "dimnet",
    "wav2pix",
    "voice2face-gan",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
_FILE_NAME = re.compile(rf"({WEIGHTS}|{OPTIMIZERS})-[0-9a-f]{{12}}\.safetensors")
_REMEDY = "take an earlier copy of the checkpoint, or train again"

Tensors = Mapping[str, Tensor]
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Checkpoint:
    """All that is needed to continue a run or to use a model."""

    family: Family
    config: Any  # a frozen dataclass when saved, plain values when loaded: see `restored`
    modules: Mapping[str, Tensors]  # by name of the network, its `state_dict()`
    optimizers: Mapping[str, Tensors] = field(default_factory=dict)  # see `optimizer_tensors`
    samples_seen: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """A tensor file as the record names it."""

    name: str
    sha256: str

    def __post_init__(self) -> None:
        is_ours = _FILE_NAME.fullmatch(self.name) is not None  # and in no other folder
        require(is_ours, "file name", self.name, "weights-DIGEST.safetensors")


@dataclass(frozen=True)
class _Record:
    """The content of checkpoint.json."""

    format: int
    family: str
    config: dict[str, Any]
    samples_seen: int
    metrics: dict[str, float]
    files: dict[str, _File]

    def __post_init__(self) -> None:
        require(self.family in FAMILIES, "family", self.family, f"one of {FAMILIES}")
        require(self.samples_seen >= 0, "samples_seen", self.samples_seen, "0 or more")
        names = set(self.files)
        require(names == {WEIGHTS, OPTIMIZERS}, "files", sorted(names), "weights and optimizers")


def save_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Write `checkpoint` into `directory`, replacing the one that is there.

    Raises:
        Speech2FaceError: the folder cannot be written, or a metric is not finite.
    """
    record: dict[str, Any] = {
        "format": FORMAT,
        "family": checkpoint.family,
        "config": to_json(checkpoint.config),
        "samples_seen": checkpoint.samples_seen,
        "metrics": dict(checkpoint.metrics),
    }
    try:
        json.dumps(record, allow_nan=False)
    except ValueError as not_finite:
        problem = "a metric or setting is not a finite number"
        remedy = "training has diverged: go on from an earlier checkpoint at a lower learning rate"
        raise Speech2FaceError(problem, remedy, str(directory)) from not_finite
    groups = {WEIGHTS: checkpoint.modules, OPTIMIZERS: checkpoint.optimizers}
    files = {
        name: _write_tensors(_joined(group), directory, name) for name, group in groups.items()
    }
    record["files"] = {name: dataclasses.asdict(file) for name, file in files.items()}
    write_whole(directory / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    _remove_unnamed(directory, {file.name for file in files.values()})


def load_checkpoint(directory: Path, family: Family | None = None) -> Checkpoint:
    """Read the checkpoint of `directory`, every tensor on the CPU, every digest verified.

    Args:
        family: what is expected; any unless given.

    Raises:
        Speech2FaceError: it is missing, damaged, cut off, not ours or of another family; the
            message names the file.
    """
    record = _read_record(directory)
    if family is not None and record.family != family:
        problem = f"this is a checkpoint of the {record.family}"
        raise Speech2FaceError(problem, f"give one of the {family}", str(directory))
    tensors = {
        name: _by_module(_read_tensors(directory / file.name, file.sha256))
        for name, file in record.files.items()
    }
    return Checkpoint(
        family=next(known for known in FAMILIES if known == record.family),
        config=record.config,
        modules=tensors[WEIGHTS],
        optimizers=tensors[OPTIMIZERS],
        samples_seen=record.samples_seen,
        metrics=record.metrics,
    )


def has_checkpoint(directory: Path) -> bool:
    """Whether `directory` holds a checkpoint."""
    return (directory / RECORD).exists()


def restored_module(build: Callable[[], M], checkpoint: Checkpoint, name: str, path: str) -> M:
    """The network that `build` makes, with the weights that the checkpoint holds as `name`.

    It is first built without memory, because a damaged record may describe a huge network.

    Raises:
        Speech2FaceError: the checkpoint lacks that network, or names or shapes differ; `path` is
            the file named.
    """
    weights = module_weights(checkpoint, name, path)
    with torch.device("meta"):
        _refuse_other_network(build(), weights, path)
    module = build()
    module.load_state_dict(dict(weights))
    return module


def restore_weights(module: nn.Module, weights: Tensors, path: str) -> None:
    """Load `weights` into `module`; names and shapes must be exactly its own.

    Raises:
        Speech2FaceError: they belong to another network; `path` is the file named.
    """
    _refuse_other_network(module, weights, path)
    module.load_state_dict(dict(weights))


def module_weights(checkpoint: Checkpoint, name: str, path: str) -> Tensors:
    """Weights of one network of a checkpoint.

    Raises:
        Speech2FaceError: the checkpoint has no such network.
    """
    if name not in checkpoint.modules:
        problem = f"the checkpoint lacks the network {name}"
        raise Speech2FaceError(problem, _REMEDY, path)
    return checkpoint.modules[name]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser, by `<number of the parameter>.<name>`.

    Learning rates and the like are not kept: they follow from the settings of the training.
    """
    return {
        f"{number}.{name}": value
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Adam, tensors: Tensors, path: str) -> None:
    """Restore the state of an Adam from what `optimizer_tensors` gave.

    Raises:
        Speech2FaceError: the tensors are not those of an Adam of these parameters.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    shapes = {
        f"{number}.{name}": shape
        for number, parameter in enumerate(parameters)
        for name, shape in (
            ("step", torch.Size()),
            ("exp_avg", parameter.shape),
            ("exp_avg_sq", parameter.shape),
        )
    }
    if tensors and {name: value.shape for name, value in tensors.items()} != shapes:
        raise Speech2FaceError("the optimiser is that of another network", _REMEDY, path)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def _refuse_other_network(module: nn.Module, weights: Tensors, path: str) -> None:
    own = module.state_dict()
    remedy = "build the network from the checkpoint's own config"
    if own.keys() != weights.keys():
        differing = sorted(own.keys() ^ weights.keys())
        problem = (
            f"weights of another network: {len(differing)} names differ, such as {differing[0]}"
        )
        raise Speech2FaceError(problem, remedy, path)
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            problem = (
                f"{name} is {tuple(weights[name].shape)}, the network has {tuple(tensor.shape)}"
            )
            raise Speech2FaceError(problem, remedy, path)


def _joined(group: Mapping[str, Tensors]) -> dict[str, Tensor]:
    """Tensors of all networks by `<network>/<name>`."""
    return {
        f"{module}/{name}": tensor
        for module, tensors in group.items()
        for name, tensor in tensors.items()
    }


def _by_module(tensors: Tensors) -> dict[str, dict[str, Tensor]]:
    """Inverse of `_joined`."""
    group: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        module, _, name = key.partition("/")
        group.setdefault(module, {})[name] = tensor
    return group


def _write_tensors(tensors: Tensors, directory: Path, name: str) -> _File:
    """Write one tensor file, which is named after its digest."""
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    content = save(copies)
    digest = hashlib.sha256(content).hexdigest()
    file = _File(f"{name}-{digest[:12]}.safetensors", digest)
    write_whole(directory / file.name, content)
    return file


def _remove_unnamed(directory: Path, named: set[str]) -> None:
    """Remove the tensor files of earlier checkpoints."""
    for path in directory.glob("*.safetensors"):
        if _FILE_NAME.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)


def _read_record(directory: Path) -> _Record:
    path = directory / RECORD
    if not path.is_file():
        remedy = f"give a folder that holds {RECORD}, such as the --run-dir of a training"
        raise Speech2FaceError("no checkpoint here", remedy, str(directory))
    record = read_json_object(path, remedy=_REMEDY)
    if "format" not in record or "files" not in record:
        raise Speech2FaceError("not a checkpoint of speech2face", _REMEDY, str(path))
    if record["format"] != FORMAT:
        problem = f"checkpoint format {record['format']!r:.60}, this version reads {FORMAT}"
        raise Speech2FaceError(problem, "use the version that wrote it", str(path))
    return restored(_Record, record, str(path))


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise Speech2FaceError("a file of the checkpoint is missing", _REMEDY, str(path))
    if sha256_of_file(path) != sha256:
        raise Speech2FaceError("the file is cut off or has been changed", _REMEDY, str(path))
    try:
        return load_file(path)
    except SafetensorError as foreign:
        raise Speech2FaceError("not a safetensors file", _REMEDY, str(path)) from foreign
