"""From a trained system to ONNX files, which onnxruntime runs without torch.

    Embedder     NAME.onnx         voice [N, V]  ->  vector [N, D]
                 NAME-face.onnx    face [N, F]   ->  vector [N, D]
    Scorer       NAME.onnx         first [N, .], second [N, .], query [N, .]  ->  logits [N, 2]
    Generator    NAME.onnx         voice [N, V]  ->  face [N, 3, 64, 64], in -1..1

A voice is given by the numbers by which the model describes it (`voice_descriptors` of the hearing
graph, `Pipeline.describe`), a photo by the features of the recognisers of the comparison, each at
length 1, one after the other. The card in the metadata of each file says what it is. These files
are no models of `speech2face reconstruct`: they neither hear sound nor draw faces of its size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from speech2face.baselines.clips import PICTURE_SIZE
from speech2face.baselines.frozen_view import FrozenView
from speech2face.baselines.interfaces import Embedder, Generator
from speech2face.baselines.settings import COMPACT
from speech2face.baselines.svhf import Svhf
from speech2face.baselines.trainer import SYSTEMS, load_baseline, system_of
from speech2face.configuration import to_json
from speech2face.errors import Speech2FaceError
from speech2face.files import write_whole
from speech2face.inference.export import graph_content
from speech2face.inference.pipeline import Shape
from speech2face.models.hub import face_graph_path

N_TRACED = 2  # rows of the example inputs; one would be traced as a constant


@dataclass(frozen=True)
class Graph:
    """What one file computes."""

    compute: Callable[..., Tensor]
    inputs: Mapping[str, Tensor]
    output: str
    size: Shape


class _Function(nn.Module):
    """A method of a network as a module, which is what an export takes."""

    def __init__(self, network: nn.Module, compute: Callable[..., Tensor]) -> None:
        super().__init__()
        self.network = network
        self.compute = compute

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.compute(*inputs)


def export_baseline(folder: Path, path: Path, said: Mapping[str, Any]) -> list[Path]:
    """Write the files of a trained system of compact size; each is complete or absent.

    Args:
        folder: run directory of the training.
        path: the file, or the one for voices where there are two.
        said: entries of the card, such as the licence.

    Returns:
        The files that were written.

    Raises:
        Speech2FaceError: the folder has no such run, a package is missing, or a file cannot be
            written.
    """
    name = system_of(folder)
    settings, network = load_baseline(name, folder)
    if settings.size != COMPACT:
        problem = "this run has the size of the paper, and only compact ones are exported"
        raise Speech2FaceError(problem, "train with --set size=compact", str(folder))
    _fix_weights(network)
    draws, distance = SYSTEMS[name].draws, getattr(network, "distance", None)
    card = dict(said) | {"system": name, "title": SYSTEMS[name].title, "distance": distance}
    card["settings"] = to_json(settings)
    contents = {}
    for place, graph in _graphs(network, path, draws=draws).items():
        module = _Function(network, graph.compute).eval()
        contents[place] = graph_content(module, graph.inputs, {graph.output: graph.size}, card)
    for place, content in contents.items():
        write_whole(place, content)
    return list(contents)


def _graphs(network: nn.Module, path: Path, *, draws: bool) -> dict[Path, Graph]:
    """What each file computes, by its place."""
    if isinstance(network, Svhf):
        query, shown = _example(network.query), _example(network.candidate)
        inputs = {"first": shown, "second": shown.clone(), "query": query}
        return {path: Graph(network.forward, inputs, "logits", (None, 2))}
    if draws:
        size = (None, 3, PICTURE_SIZE, PICTURE_SIZE)
        inputs = {"voice": _example(network)}
        return {path: Graph(cast(Generator, network).face, inputs, "face", size)}
    embedder = cast(Embedder, network)
    of_voice, of_face = (_example(getattr(network, side)) for side in ("voice", "face"))
    return {
        path: Graph(embedder.voice, {"voice": of_voice}, "vector", (None, None)),
        face_graph_path(path): Graph(embedder.face, {"face": of_face}, "vector", (None, None)),
    }


def _example(part: nn.Module) -> Tensor:
    """An input of a compact part, which begins with a view of a frozen encoder, `[2, V]`."""
    view = next(one for one in part.modules() if isinstance(one, FrozenView))
    return torch.zeros(N_TRACED, view.weight.shape[0])


def _fix_weights(network: nn.Module) -> None:
    """Replace weights that are divided by their spectral norm by the quotient."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
