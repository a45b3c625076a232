"""Same-speaker stability (P12) and the effects of duration and language (P13).

Does one person's speech always give a similar face? A model that always draws the same face is
perfectly stable. The similarity a of one person's outputs is therefore given together with the
similarity b of different persons of one gender, and the question is also asked as trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.controls import SAME_GENDER, SHUFFLED, shuffles
from speech2face.evaluation.features import MISSING_LABEL
from speech2face.evaluation.matching import (
    exhaustive_credits,
    matching_score,
    query_person_draws,
    shares_labels,
    two_way_draws,
)
from speech2face.evaluation.scores import Distance, pair_scores, prepared
from speech2face.evaluation.uncertainty import (
    Interval,
    PersonBootstrap,
    Score,
    as_names,
    macro_mean,
    macro_mean_draws,
    quotient,
)
from speech2face.evaluation.verification import verification_scores


def same_speaker_accuracy(
    first: ArrayLike,
    second: ArrayLike,
    persons: ArrayLike,
    *,
    genders: ArrayLike | None = None,
    distance: Distance = "cosine",
    bootstrap: PersonBootstrap | None = None,
) -> Score:
    """Is the output of one half of a person's speech nearer to that of the other half than to
    another person's?

    Every other person of the same gender is an impostor, in both directions.

    Args:
        first: outputs for one half, `[N, D]`.
        second: outputs for the disjoint other half, in the same order, `[N, D]`.
        persons: `[N]`.
        genders: `[N]`; without them impostors are of any gender.
        distance: between outputs.
        bootstrap: resampled persons; without it no interval is given.

    Raises:
        Speech2FaceError: unusable features, or no two persons share a gender.
    """
    names = as_names(persons, len(np.asarray(first)), "persons")
    own = np.arange(len(names))
    both = []
    for query, gallery in ((first, second), (second, first)):
        credits = exhaustive_credits(query, names, gallery, names, own=own, distance=distance)
        if genders is not None:
            credits = credits.restricted(shares_labels((genders, genders)))
        both.append(credits)
    forward, backward = (
        matching_score(f"same speaker {'U' if genders is None else 'G'}", credits)
        for credits in both
    )
    score = replace(
        forward,
        value=(forward.value + backward.value) / 2,
        details={**forward.details, "first half": forward.value, "second half": backward.value},
    )
    if bootstrap is None:
        return score
    two_way = sum(two_way_draws(credits, bootstrap) for credits in both) / 2
    by_query = sum(query_person_draws(credits, bootstrap) for credits in both) / 2
    return replace(
        score,
        interval=bootstrap.interval(np.asarray(two_way), "two-way"),
        query_person_interval=bootstrap.interval(np.asarray(by_query), "query-person"),
    )


def consistency(
    outputs: ArrayLike,
    persons: ArrayLike,
    *,
    videos: ArrayLike | None = None,
    genders: ArrayLike | None = None,
    bootstrap: PersonBootstrap | None = None,
) -> dict[str, Score]:
    """a, b and a - b in mean cosine, and the AUC of same-person against other pairs.

    Args:
        outputs: of persons with two or more utterances, `[N, D]`; N^2 cosines are in memory.
        persons: `[N]`.
        videos: `[N]`; with them a is of different videos, and `a, same video` is given too.
        genders: `[N]`; with them b is of persons of one gender, and `AUC G` is given too.
        bootstrap: resampled persons; without it no interval is given.

    Returns:
        `a`, `b`, `a - b` (each person counts once), `AUC U`, and where known `a, same video` and
        `AUC G`. Chance of a is b: what different persons reach.

    Raises:
        Speech2FaceError: unusable features, no person with two outputs, or one person only.
    """
    units = prepared(outputs, "output", "cosine")
    names = as_names(persons, len(units), "persons")
    cosines = np.clip(units @ units.T, -1, 1)  # [N, N]
    same_person = (names[:, None] == names) & ~np.eye(len(names), dtype=bool)
    other_person = names[:, None] != names
    crossing = same_person
    if videos is not None:
        video = as_names(videos, len(units), "videos")
        crossing = same_person & (video[:, None] != video)
    one_gender = other_person
    if genders is not None:
        one_gender = other_person & shares_labels((genders, genders))
    if not crossing.any() or not one_gender.any():
        raise Speech2FaceError(
            "no person has two outputs of different videos, or no two persons share a gender",
            "give at least two persons, and two utterances of each",
        )
    between = _person_score("b", cosines, one_gender, names, bootstrap)
    scores = {
        "a": replace(_person_score("a", cosines, crossing, names, bootstrap), chance=between.value),
        "b": replace(between, chance=between.value),
        "a - b": _gap(cosines, crossing, one_gender, names, bootstrap),
    }
    if videos is not None and (same_person & ~crossing).any():
        within = _person_score("a, same video", cosines, same_person & ~crossing, names, bootstrap)
        scores[within.name] = replace(within, chance=between.value)
    for stratum, others in (("U", other_person), ("G", one_gender)):
        if stratum == "G" and genders is None:
            continue
        auc = _pair_auc(cosines, crossing, others, names, stratum, bootstrap)
        scores[auc.name] = auc
    return scores


def duration_effect(
    outputs: Mapping[float, ArrayLike],
    persons: ArrayLike,
    *,
    genders: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    bootstrap: PersonBootstrap | None = None,
    seed: int = 0,
) -> dict[float, dict[str, Score]]:
    """How much a shorter clip changes the output, against the longest one given.

    Args:
        outputs: by seconds of speech heard (1, 2, 3, 6), of the same clips in one order,
            `[N, D]` each.
        persons: `[N]`.
        genders: `[N]`.
        ids: `[N]`; makes the shuffled control independent of list order.
        bootstrap: resampled persons; without it no interval is given.
        seed: of the shuffled control.

    Returns:
        For every shorter length `d`, the mean cosine to the longest output of the same clip (its
        chance: that of another person, of the same gender where genders are given), and `own clip`,
        the 1:2 accuracy of finding that output among other persons'.

    Raises:
        Speech2FaceError: fewer than two lengths, different numbers of clips, unusable features.
    """
    if len(outputs) < 2:
        raise Speech2FaceError(f"outputs of {len(outputs)} length(s)", "give two or more lengths")
    longest = max(outputs)
    reference = prepared(outputs[longest], "output", "cosine")
    names = as_names(persons, len(reference), "persons")
    table = {}
    for seconds in sorted(set(outputs) - {longest}):
        shorter = prepared(outputs[seconds], "output", "cosine")
        if shorter.shape != reference.shape:
            raise Speech2FaceError(
                f"outputs at {seconds} s have shape {shorter.shape}, at {longest} s "
                f"{reference.shape}",
                "give the same clips at every length",
            )
        cosine = pair_scores(shorter, reference, "cosine")  # [N]
        drawn = shuffles(names, groups=genders, ids=ids, seed=seed)
        others = [
            macro_mean(
                pair_scores(shorter[deal.donors], reference[deal.rows], "cosine"),
                names[deal.rows],
            )
            for deal in drawn
        ]
        chance = float(np.mean(others))
        agreement = Score(
            name="d",
            value=macro_mean(cosine, names),
            chance=chance,
            n=len(cosine),
            persons=len(np.unique(names)),
            interval=_macro_interval(bootstrap, cosine, names),
            unit="cosine",
            controls={SHUFFLED if genders is None else SAME_GENDER: chance},
            details={"seconds": float(seconds), "against seconds": float(longest)},
        )
        own = same_speaker_accuracy(shorter, reference, names, genders=genders, bootstrap=bootstrap)
        table[seconds] = {"d": agreement, "own clip": replace(own, name="own clip")}
    return table


def language_effect(
    outputs: ArrayLike,
    persons: ArrayLike,
    languages: ArrayLike,
    *,
    genders: ArrayLike | None = None,
    bootstrap: PersonBootstrap | None = None,
) -> dict[str, Score]:
    """Mean cosine of outputs in a 2 x 2: same or other person, same or other language.

    In a model that reacts to the language rather than the person, the columns differ much.
    Other persons are of the same gender where genders are given. Clips without a language are left
    out.

    Raises:
        Speech2FaceError: unusable features, or an empty cell, as without any bilingual person.
    """
    units = prepared(outputs, "output", "cosine")
    names = as_names(persons, len(units), "persons")
    language = as_names(languages, len(units), "languages")
    cosines = np.clip(units @ units.T, -1, 1)
    known = (language != MISSING_LABEL)[:, None] & (language != MISSING_LABEL)
    same_language = language[:, None] == language
    same_person = names[:, None] == names
    other_person = ~same_person
    if genders is not None:
        other_person &= shares_labels((genders, genders))
    same_person &= ~np.eye(len(names), dtype=bool)
    cells = {}
    for (who, person), (what, spoken) in product(
        (("same person", same_person), ("other person", other_person)),
        (("same language", same_language), ("other language", ~same_language)),
    ):
        pairs = person & spoken & known
        if not pairs.any():
            raise Speech2FaceError(
                f"no pair of {who}, {what}",
                "give bilingual persons with two utterances in a language",
            )
        name = f"{who}, {what}"
        cells[name] = _person_score(name, cosines, pairs, names, bootstrap)
    return {
        name: replace(score, chance=cells[f"other person, {name.split(', ')[1]}"].value)
        for name, score in cells.items()
    }


def _by_person(
    cosines: NDArray[np.float64], pairs: NDArray[np.bool_], persons: NDArray[np.str_]
) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """Persons in sorted order and the mean cosine over each one's pairs, NaN without a pair."""
    names, code = np.unique(persons, return_inverse=True)
    totals = np.bincount(code, np.where(pairs, cosines, 0).sum(axis=1))
    counts = np.bincount(code, pairs.sum(axis=1))
    return names, quotient(totals.astype(np.float64), counts.astype(np.float64))


def _person_score(
    name: str,
    cosines: NDArray[np.float64],
    pairs: NDArray[np.bool_],
    persons: NDArray[np.str_],
    bootstrap: PersonBootstrap | None,
) -> Score:
    """Mean over persons of the mean cosine of each one's `pairs` `[N, N]`; chance comes later."""
    names, means = _by_person(cosines, pairs, persons)
    kept = ~np.isnan(means)
    return Score(
        name=name,
        value=float(means[kept].mean()),
        chance=float("nan"),
        n=int(np.triu(pairs).sum()),
        persons=int(kept.sum()),
        interval=_macro_interval(bootstrap, means[kept], names[kept]),
        unit="cosine",
    )


def _gap(
    cosines: NDArray[np.float64],
    same: NDArray[np.bool_],
    other: NDArray[np.bool_],
    persons: NDArray[np.str_],
    bootstrap: PersonBootstrap | None,
) -> Score:
    names, within = _by_person(cosines, same, persons)
    _, between = _by_person(cosines, other, persons)
    gap = within - between
    kept = ~np.isnan(gap)
    return Score(
        name="a - b",
        value=float(gap[kept].mean()),
        chance=0.0,
        n=int(np.triu(same).sum()),
        persons=int(kept.sum()),
        interval=_macro_interval(bootstrap, gap[kept], names[kept]),
        unit="cosine",
    )


def _pair_auc(
    cosines: NDArray[np.float64],
    same: NDArray[np.bool_],
    other: NDArray[np.bool_],
    persons: NDArray[np.str_],
    stratum: str,
    bootstrap: PersonBootstrap | None,
) -> Score:
    first, second = np.nonzero(np.triu(same | other, k=1))
    auc = verification_scores(
        np.round(cosines[first, second], 12),  # equal outputs tie wherever they stand
        same[first, second],
        persons[first],
        persons[second],
        stratum=stratum,
        bootstrap=bootstrap,
    )
    return auc[f"AUC {stratum}"]


def _macro_interval(
    bootstrap: PersonBootstrap | None, values: NDArray[np.float64], persons: NDArray[np.str_]
) -> Interval | None:
    if bootstrap is None:
        return None
    return bootstrap.interval(macro_mean_draws(bootstrap, values, persons), "query-person")
