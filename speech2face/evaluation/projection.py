"""t-SNE of features (arXiv Fig. 14), and how often their neighbours carry the same label.

Clusters and distances in a t-SNE picture depend on its perplexity and seed, so a picture alone
proves nothing. Each one is therefore given with a number that is computed in the full space.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.scores import as_features, unit_norm
from speech2face.evaluation.uncertainty import PersonBootstrap, Score, as_names, mean_draws
from speech2face.extras import missing_extra

PERPLEXITY = 50.0  # file names of the authors' figure carry "50": a guess at what it means
N_NEIGHBOURS = 5
MIN_SPREAD = 1e-6  # distance of unit-norm features from their mean; float32 rounds at about 1e-7


def project(
    features: ArrayLike, *, perplexity: float = PERPLEXITY, seed: int = 0
) -> NDArray[np.float64]:
    """t-SNE of unit-norm features: `[N, D]` to `[N, 2]`, the same for the same seed.

    Perplexity is lowered to a third of the number of items where there are few.

    Raises:
        Speech2FaceError: fewer than four items, all features are alike, or scikit-learn is missing.
    """
    units = unit_norm(as_features(features, "projected"), "projected")
    if len(units) < 4:
        raise Speech2FaceError(f"{len(units)} items to project", "give at least four")
    if np.linalg.norm(units - units.mean(axis=0), axis=1).max() < MIN_SPREAD:
        # scikit-learn divides by their spread, and may then end the whole process
        raise Speech2FaceError("all features to project are alike", "give faces that differ")
    plane = _tsne()(
        perplexity=min(perplexity, (len(units) - 1) / 3),
        init="pca" if min(units.shape) >= 2 else "random",
        random_state=seed,
        n_jobs=1,
    ).fit_transform(units)
    return np.asarray(plane, np.float64)


def require_projection() -> None:
    """Refuse to begin where no projection could be made at the end.

    Raises:
        Speech2FaceError: the package for it is missing.
    """
    _tsne()


def _tsne() -> Any:
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as missing:
        raise missing_extra("scikit-learn", "evaluate") from missing
    return TSNE


def neighbour_agreement(
    features: ArrayLike,
    labels: ArrayLike,
    persons: ArrayLike,
    *,
    what: str = "label",
    k: int = N_NEIGHBOURS,
    bootstrap: PersonBootstrap | None = None,
) -> Score:
    """Share of the `k` nearest features of other persons that carry the item's own label.

    Cosine, in the full space. Chance is the share among all features of other persons.

    Args:
        features: `[N, D]`.
        labels, persons: one of each per item, `[N]`.

    Raises:
        Speech2FaceError: fewer than two persons, or lengths that differ.
    """
    units = unit_norm(as_features(features, "projected"), "projected")
    names = as_names(labels, len(units), "labels")
    people = as_names(persons, len(units), "persons")
    bootstrap = bootstrap or PersonBootstrap.draw(people)  # refuses a single person
    similarity = units @ units.T  # [N, N]
    others = people[:, None] != people[None, :]
    same = names[:, None] == names[None, :]
    order = np.argsort(-np.where(others, similarity, -np.inf), axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(others, order, axis=1)  # a person with few others has fewer than k
    agree = (np.take_along_axis(same, order, axis=1) & near).sum(axis=1) / near.sum(axis=1)
    return Score(
        name=f"{what} of {k} nearest",
        value=float(agree.mean()),
        chance=float(((same & others).sum(axis=1) / others.sum(axis=1)).mean()),
        n=len(units),
        persons=len(np.unique(people)),
        interval=bootstrap.interval(mean_draws(bootstrap, agree, people), "query-person"),
    )
