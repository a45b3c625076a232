"""How often the interval of the mixed model of XAB answers holds the truth.

    python benchmarks/mixed_model.py

Simulates experiments of which the truth is known, and prints one JSON record for each spread of
people. Each experiment takes two seconds.
"""

import argparse
import json

import numpy as np
from numpy.typing import NDArray

from speech2face.xab.mixed_model import fit

PARTICIPANTS, TRIALS, PERSONS = 20, 32, 80
TYPICAL = 0.4  # logits: 60 % right
SPREADS = ((0.0, 0.0, 0.0), (0.3, 0.5, 0.4), (0.8, 0.8, 0.5))  # logits, as the effects below


def main() -> None:
    """Print the records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=40)
    n_experiments = parser.parse_args().experiments
    for spreads in SPREADS:
        generator = np.random.default_rng(1)
        inside = sum(_holds_the_truth(spreads, generator) for _ in range(n_experiments))
        print(json.dumps({"spreads": spreads, "experiments": n_experiments, "inside": inside}))


def _holds_the_truth(spreads: tuple[float, ...], generator: np.random.Generator) -> bool:
    """One experiment: whether the interval of the accuracy holds the typical one."""
    sizes = (PARTICIPANTS, PERSONS, PERSONS)
    effects = [generator.normal(0, s, n) for s, n in zip(spreads, sizes, strict=True)]
    levels = [np.repeat(np.arange(PARTICIPANTS), TRIALS), *_people_shown(generator)]
    logits = TYPICAL + sum(effect[level] for effect, level in zip(effects, levels, strict=True))
    correct = generator.random(len(levels[0])) < 1 / (1 + np.exp(-logits))
    names = ("participants", "persons", "others")
    columns = {name: level.astype(str) for name, level in zip(names, levels, strict=True)}
    found = fit(correct, ["all"] * len(correct), columns).accuracy["all"]
    return bool(found.low <= 1 / (1 + np.exp(-TYPICAL)) <= found.high)


def _people_shown(generator: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Who is asked for and who is the other one in each trial; nobody twice in a session."""
    orders = [generator.permutation(PERSONS)[: 2 * TRIALS] for _ in range(PARTICIPANTS)]
    asked = np.concatenate([order[:TRIALS] for order in orders])
    return asked, np.concatenate([order[TRIALS:] for order in orders])


if __name__ == "__main__":
    main()
