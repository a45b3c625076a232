"""Published tables agree with themselves: what their authors derive from them follows from them."""

import numpy as np
import pytest

from speech2face.evaluation.agreement import Confusion
from speech2face.evaluation.craniofacial import MEASURES
from speech2face.report.published import Published, published_counts, published_tables

TABLES = published_tables()


def weighted(table: Published, counts: dict[str, int]) -> Confusion:
    """A row-normalised matrix turned into counts of Fig. 4b."""
    rows = np.array([[*row[1:], 0.0] for row in table.rows], np.float64)
    rows /= rows.sum(axis=1, keepdims=True)  # printed with two decimals
    return Confusion(table.columns[1:], rows * np.array(list(counts.values()))[:, None])


def decades() -> dict[str, int]:
    counts = dict(published_counts("age"))
    return {
        "10": counts["<10"],
        **{name: counts[name] for name in ("20", "30", "40", "50", "60")},
        "70": counts["70"] + counts[">80"],
    }


def test_ethnicity_matrix_amounts_to_the_known_accuracy_below_its_majority() -> None:
    table = weighted(TABLES["ethnicity"], dict(published_counts("ethnicity")))
    assert table.accuracy() == pytest.approx(0.476, abs=0.005)
    assert table.balanced_accuracy() == pytest.approx(0.338, abs=0.005)
    assert table.majority_rate() == pytest.approx(0.502, abs=0.001)
    assert table.accuracy() < table.majority_rate()


def test_age_matrices_amount_to_the_known_exact_decade() -> None:
    assert weighted(TABLES["age"], decades()).accuracy() == pytest.approx(0.286, abs=0.005)
    assert weighted(TABLES["age_f2f"], decades()).accuracy() == pytest.approx(0.484, abs=0.005)


def test_gender_matrix_amounts_to_the_94_percent_of_the_text() -> None:
    table = weighted(TABLES["gender"], dict(published_counts("gender")))
    assert table.accuracy() == pytest.approx(0.94)


def test_counts_add_up_to_the_faces_of_fig_4b() -> None:
    for counts in (
        published_counts("gender"),
        published_counts("ethnicity"),
        published_counts("age"),
    ):
        assert sum(counts.values()) == 4_986


def test_the_random_row_of_the_retrieval_table_is_percent_and_not_images() -> None:
    for k in (1, 2, 5, 10):
        assert TABLES["retrieval"].value("random", f"R@{k} %") == k  # K / 5000 would be 0.02 K


def test_every_row_has_one_cell_for_every_column_and_every_table_says_how_it_differs() -> None:
    for table in TABLES.values():
        assert all(len(row) == len(table.columns) for row in table.rows), table.name
        assert len(table.difference) > 40 and table.source


def test_the_craniofacial_table_rounds_the_statistics_file() -> None:
    for name, printed, exact in TABLES["craniofacial"].rows:
        if isinstance(printed, float) and isinstance(exact, float):
            assert printed == pytest.approx(exact, abs=0.006), name
    assert len(MEASURES) == 13
