"""Which of many faces belong together, because they are more alike than a limit.

Faces are joined along chains: if a is like b and b is like c, all three are one group. So a limit
that is too loose joins nearly everybody, and a group that is suspiciously large is an error.
"""

import numpy as np
from numpy.typing import NDArray

from speech2face.errors import Speech2FaceError

BLOCK = 2048  # faces that are compared with all others at a time
LARGEST_SHARE, LARGEST = 0.05, 20  # of all people; and a group of so many is never suspicious


def groups_of(
    features: NDArray[np.floating], owners: NDArray[np.integer], same_face: float
) -> NDArray[np.int64]:
    """Number of the group of each owner, `[P]`.

    Args:
        features: of faces, `[N, D]`, of any length.
        owners: who each face belongs to, `[N]`, from 0 to P - 1; faces of one owner are joined.
        same_face: largest cosine distance of two faces of one person.

    Raises:
        Speech2FaceError: so many owners are in one group that the limit must be too loose.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    unit = unit.astype(np.float32)
    n_owners = int(owners.max()) + 1
    first, second = _alike(unit, owners, same_face)
    ones = np.ones(len(first), dtype=bool)
    graph = coo_array((ones, (first, second)), shape=(n_owners, n_owners))
    _, labels = connected_components(graph, directed=False)
    largest = int(np.bincount(labels).max())
    if largest > max(LARGEST, LARGEST_SHARE * n_owners):
        problem = f"{largest} of {n_owners} people would be one group of the same face"
        raise Speech2FaceError(problem, f"give a limit below {same_face:g} with --same-face")
    numbers: NDArray[np.int64] = labels.astype(np.int64)
    return numbers


def _alike(
    unit: NDArray[np.float32], owners: NDArray[np.integer], same_face: float
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Pairs of different owners that have a face in common; the same pair may come often."""
    first, second = [owners[:0]], [owners[:0]]
    for start in range(0, len(unit), BLOCK):
        similarity = unit[start : start + BLOCK] @ unit[start:].T
        rows, columns = np.nonzero(similarity >= 1 - same_face)
        one, other = owners[start + rows], owners[start + columns]
        first.append(one[one != other])
        second.append(other[one != other])
    return np.concatenate(first), np.concatenate(second)
