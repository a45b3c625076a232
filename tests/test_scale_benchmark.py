"""The closed form of docs/scaling.md against a simulation that knows no formula."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("simpy", reason="pip install simpy")

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "scale.py"
spec = importlib.util.spec_from_file_location("scale_benchmark", FILE)
assert spec is not None and spec.loader is not None
benchmark = importlib.util.module_from_spec(spec)
sys.modules["scale_benchmark"] = benchmark  # its dataclasses look for their module
spec.loader.exec_module(benchmark)

VOXCELEB, AVSPEECH = benchmark.CORPORA
RATES = benchmark.Rates()


@pytest.mark.parametrize("machines", benchmark.MACHINES)
@pytest.mark.parametrize("corpus", [VOXCELEB, AVSPEECH], ids=lambda corpus: corpus.name)
def test_the_closed_form_agrees_with_the_simulation(corpus: object, machines: int) -> None:
    expected = benchmark.closed_form(corpus, machines, RATES)
    found = benchmark.simulated(corpus, machines, RATES, seed=machines)
    assert found == pytest.approx(expected, rel=0.05, abs=0.01)


def test_fetching_is_what_avspeech_waits_for_and_a_hundred_addresses_make_it_ten_hours() -> None:
    for machines in benchmark.MACHINES:
        hours = benchmark.closed_form(AVSPEECH, machines, RATES)
        assert hours["fetch"] > sum(hours.values()) / 2
    assert 9.7 < hours["fetch"] < 11
    alone = benchmark.closed_form(AVSPEECH, 1, RATES)
    assert alone["fetch"] == pytest.approx(290_000 / 300, rel=0.02)


def test_small_cases_are_those_that_are_worked_by_hand() -> None:
    rates = benchmark.Rates(
        clip_ms=1000, workers=2, per_hour=60, refused=0, died=0, epochs=2, train_per_second=4
    )
    corpus = benchmark.LargeCorpus("mine", 120, 512 * 5)  # five shards
    hours = benchmark.closed_form(corpus, 1, rates)
    assert hours["fetch"] == 2.0
    assert hours["prepare"] == pytest.approx(3 * 512 / 3600)  # three shards for one, two for one
    assert hours["train"] == pytest.approx(2 * 512 * 5 / 4 / 3600)
    assert benchmark.simulated(corpus, 1, rates)["fetch"] == pytest.approx(2.0)


def test_a_site_that_refuses_and_workers_that_die_cost_time() -> None:
    rough = benchmark.Rates(refused=0.02, died=1e-3)
    corpus = benchmark.LargeCorpus("a tenth", 29_000, 170_000)
    smooth, slow = (benchmark.simulated(corpus, 10, rates) for rates in (RATES, rough))
    assert slow["fetch"] > 1.08 * smooth["fetch"] and slow["prepare"] > 1.08 * smooth["prepare"]
