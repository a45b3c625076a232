"""A network that is applied to the pieces of a long input in bounded memory.

In torch this is a loop. When a model is exported, tracing would write the loop out as often as it
ran. So the traced graph gets a placeholder node of our own that names the network, and
`inference/export.py` puts an ONNX `Scan` over the traced network in its place. Every runtime for
ONNX knows Scan, in browsers too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

AT_ONCE = 4  # pieces; so few are one batch, as each further step of a Scan costs time
DOMAIN = "speech2face"  # of the placeholder


class Used(NamedTuple):
    """A network that the graph being traced applies to pieces, and one such piece."""

    network: nn.Module
    piece: Tensor  # [1, ...]


_USED: ContextVar[dict[str, Used] | None] = ContextVar("used", default=None)


def piecewise(network: nn.Module, pieces: Tensor) -> Tensor:
    """`network` of all pieces, `[M, ...]` to `[M, ...]`; of more than `AT_ONCE`, one by one."""
    n_pieces = torch.as_tensor(pieces.shape[0])  # a tensor, so a trace follows it
    size: Any = torch.where(n_pieces <= AT_ONCE, n_pieces, torch.ones_like(n_pieces))
    groups = pieces.reshape(-1, size, *pieces.shape[1:])  # [N, G, ...]
    used = _USED.get()
    if used is None:
        return torch.cat([network(group) for group in groups])
    name = f"network_{len(used)}"
    used[name] = Used(network, pieces[:1])
    results: Tensor = _placeholder(groups, name)  # [N, G, ...]
    return results.flatten(0, 1)


@contextmanager
def recorded() -> Iterator[dict[str, Used]]:
    """Networks that a graph traced within this context names in placeholders, by those names."""
    used: dict[str, Used] = {}
    token = _USED.set(used)
    try:
        yield used
    finally:
        _USED.reset(token)


@torch.library.custom_op(f"{DOMAIN}::piecewise", mutates_args=())
def _placeholder(groups: Tensor, name: str) -> Tensor:
    """The same values, and in a traced graph one operation."""
    network = (_USED.get() or {})[name].network
    return torch.stack([network(group) for group in groups])


def _node(graph: Any, groups: Any, name: Any) -> Any:
    """The operation as a node of ONNX, with its sizes as far as they are fixed."""
    said = name.node().s("value")
    used = (_USED.get() or {})[said]
    node = graph.op(f"{DOMAIN}::Piecewise", groups, network_s=said)
    return node.setType(groups.type().with_sizes([None, None, *used.network(used.piece).shape[1:]]))


torch.onnx.register_custom_op_symbolic(  # type: ignore[attr-defined]
    f"{DOMAIN}::piecewise", _node, 1
)
