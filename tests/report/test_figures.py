"""Figures are tested by their data, and that drawing them gives a readable picture."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from speech2face.data.invented import draw, traits_of
from speech2face.errors import Speech2FaceError
from speech2face.evaluation.agreement import confusion
from speech2face.evaluation.craniofacial import MEASURES, correlate
from speech2face.evaluation.uncertainty import Interval, Score
from speech2face.report.figures import (
    COLOURS,
    INK,
    Bar,
    BarPanel,
    Curve,
    FaceGrid,
    LandmarkPair,
    columns_of_pictures,
    draw_bars,
    draw_confusions,
    draw_correlations,
    draw_curves,
    draw_grid,
    draw_landmarks,
    draw_measures,
    draw_projections,
    draw_shares,
    label_shares,
    retrieval_examples,
    rows_of_pictures,
    training_curves,
)


@pytest.fixture
def faces(tmp_path: Path) -> list[Path]:
    """Drawings of six people of the invented world."""
    paths = [tmp_path / f"{person}.png" for person in range(6)]
    for person, path in enumerate(paths):
        Image.fromarray(draw(traits_of(person)).image).save(path)
    return paths


def drawn(path: Path) -> np.ndarray:
    """The picture, which must hold more than blank paper."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.std() > 5
    return pixels


def test_a_triplets_page_has_one_row_a_clip_and_one_column_a_kind(faces: list[Path]) -> None:
    columns = {"true": faces[:3], "F2F": faces[3:], "S2F": faces[:3]}
    grid = columns_of_pictures("triplets", columns, ["a", "b", "c"], limit=2)
    assert grid.columns == ("true", "F2F", "S2F")
    assert grid.rows == ("a", "b")
    assert grid.faces == (
        (faces[0], faces[3], faces[0]),
        (faces[1], faces[4], faces[1]),
    )


def test_a_comparison_lying_down_has_one_row_a_kind(faces: list[Path]) -> None:
    grid = rows_of_pictures("3 s and 6 s", {"true": faces[:3], "3 s": faces[3:], "6 s": faces[:3]})
    assert grid.rows == ("true", "3 s", "6 s")
    assert grid.faces[1] == tuple(faces[3:])


def test_drawn_grid_shows_the_faces_and_frames_the_marked_one(
    faces: list[Path], tmp_path: Path
) -> None:
    plain = FaceGrid("two", ("x", "y"), ("row",), ((faces[0], None),))
    marked = FaceGrid("two", ("x", "y"), ("row",), ((faces[0], None),), marked=frozenset({(0, 0)}))
    first = drawn(draw_grid(plain, tmp_path / "plain.png"))
    second = drawn(draw_grid(marked, tmp_path / "marked.png"))
    assert first.shape == second.shape
    green = np.all(np.abs(second.astype(int) - [0x00, 0x9E, 0x73]) < 12, axis=-1)
    assert green.sum() > 4 * 100  # four sides
    again = draw_grid(plain, tmp_path / "again.png")
    assert again.read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_a_grid_of_ragged_rows_is_refused(faces: list[Path]) -> None:
    with pytest.raises(Speech2FaceError, match="2 rows of 2"):
        FaceGrid("bad", ("a", "b"), ("1", "2"), ((faces[0], None), (faces[1],)))


def test_retrieval_examples_rank_as_a_full_sort_does_and_end_with_a_miss(
    faces: list[Path],
) -> None:
    gallery = np.eye(6)
    query = gallery.copy()
    query[5] = [5, 4, 3, 2, 1, 0.1]  # its own face comes last
    query[4] = [0, 0, 0, 2, 1, 0]  # its own face comes second
    grid = retrieval_examples(
        query, gallery, range(6), faces, faces, distance="cosine", n_rows=6, n_nearest=3
    )
    assert grid.rows == (
        *("true face is 1 of 6",) * 4,
        "true face is 2 of 6",
        "true face is 6 of 6",
    )
    assert grid.marked == {(0, 1), (1, 1), (2, 1), (3, 1), (4, 2)}
    assert grid.faces[4] == (faces[4], faces[3], faces[4], faces[0], faces[4])
    assert grid.faces[5][-1] == faces[5] and faces[5] not in grid.faces[5][1:4]


def test_retrieval_examples_leave_out_other_photos_of_the_person(faces: list[Path]) -> None:
    gallery = np.eye(6)
    eligible = np.ones((6, 6), bool)
    eligible[0, 1] = False  # the same person's other photo, and the nearest
    query = np.eye(6)
    query[0] = [1, 2, 0, 0, 0, 0]
    grid = retrieval_examples(
        query, gallery, range(6), faces, faces, distance="cosine", eligible=eligible, n_rows=7
    )
    assert "true face is 1 of 5" in grid.rows


def test_training_curves_read_numbers_by_name_and_skip_a_torn_line(tmp_path: Path) -> None:
    stats = tmp_path / "stats.jsonl"
    lines = [
        {"samples_seen": 8, "total": 3.0, "losses": {"decoder": 2.0}, "step": 1},
        {"samples_seen": 16, "total": 1.5, "losses": {"decoder": 1.0}, "step": 2},
        {"samples_seen": 16, "split": "val", "total": 2.5},
        {"note": "no clock"},
    ]
    stats.write_text("\n".join(map(json.dumps, lines)) + '\n{"samples_seen": 24, "to')
    curves = training_curves(stats)
    assert sorted(curves) == ["losses.decoder", "total"]
    np.testing.assert_array_equal(curves["total"].samples_seen, [8, 16])
    np.testing.assert_array_equal(curves["losses.decoder"].values, [2, 1])
    np.testing.assert_array_equal(training_curves(stats, split="val")["total"].values, [2.5])
    with pytest.raises(Speech2FaceError, match="no loss is called 'nothing'"):
        training_curves(stats, ["nothing"])
    stats.write_text("{}\n")
    with pytest.raises(Speech2FaceError, match="samples_seen"):
        training_curves(stats)
    with pytest.raises(Speech2FaceError, match="no training statistics"):
        training_curves(tmp_path / "absent.jsonl")


def test_label_shares_count_and_keep_the_order() -> None:
    assert label_shares(["b", "a", "b", "b"], ["b", "a", "c"]) == {"b": 0.75, "a": 0.25, "c": 0}


def crowd(n: int, seed: int) -> np.ndarray:
    people = np.stack([draw(traits_of(person)).landmarks for person in range(n)])
    return people + np.random.default_rng(seed).normal(scale=1.5, size=people.shape)


def ink(path: Path, colour: str, within: int = 12) -> int:
    """How many pixels of a drawing have this colour; thin lines are mixed with the paper's."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int(np.all(np.abs(pixels - wanted) < within, axis=-1).sum())


def test_a_confusion_matrix_is_darker_where_more_faces_are(tmp_path: Path) -> None:
    right = {"S2F": confusion(list("ffmm"), list("ffmm"))}
    wrong = {"S2F": confusion(list("ffmm"), list("mmff"))}
    first = drawn(draw_confusions(right, tmp_path / "right.png")).astype(int)
    second = drawn(draw_confusions(wrong, tmp_path / "wrong.png")).astype(int)
    # The diagonal of one is the other's side; the dark cells are in other places, equally many.
    dark = [(picture.sum(axis=-1) < 250).sum() for picture in (first, second)]
    assert first.shape == second.shape and dark[0] == pytest.approx(dark[1], rel=0.1)
    assert np.abs(first - second).max() > 200
    both = drawn(draw_confusions({**right, "F2F": right["S2F"]}, tmp_path / "both.png"))
    assert both.shape[1] == 2 * first.shape[1]  # one matrix beside the other


def test_bars_of_shares_are_as_high_as_the_shares(tmp_path: Path) -> None:
    shares = {"gender": {"f": 1.0, "m": 0.5}}
    blue = ink(draw_shares(shares, tmp_path / "shares.png"), COLOURS[0])
    alone = ink(draw_shares({"gender": {"f": 1.0, "m": 0.0}}, tmp_path / "one.png"), COLOURS[0])
    assert blue == pytest.approx(1.5 * alone, rel=0.03)


def test_bars_of_systems_show_value_interval_chance_and_oracle(tmp_path: Path) -> None:
    interval = Interval(0.6, 0.8, "two-way", 100, 0)
    score = Score("1:2 U", 0.7, 0.5, 10, 9, interval=interval, oracle=0.75)

    def bars(*scores: Score) -> Path:
        drawing = tuple(Bar(f"system {i}", one) for i, one in enumerate(scores))
        return draw_bars([BarPanel("1:2", drawing)], tmp_path / "bars.png")

    assert ink(bars(score), COLOURS[1], within=110) > 20  # the dashed oracle
    assert ink(bars(replace(score, oracle=None)), COLOURS[1], within=110) < 5
    with_interval = ink(bars(score), INK)
    assert with_interval > ink(bars(replace(score, interval=None)), INK) + 50
    short, long = (bars(replace(score, value=v, interval=None)).read_bytes() for v in (0.1, 0.9))
    assert short != long


def test_landmarks_and_measures_are_drawn_on_the_faces(faces: list[Path], tmp_path: Path) -> None:
    left, right = crowd(3, 1), crowd(3, 2)
    pairs = [LandmarkPair(faces[i], faces[i], left[i], right[i]) for i in range(3)]
    path = draw_landmarks(pairs, tmp_path / "landmarks.png")
    drawn(path)
    assert ink(path, COLOURS[1]) > 2 * 3 * 68  # a dot of several pixels for each point
    outlines = draw_measures(left[0], tmp_path / "measures.png")
    lines = ink(outlines, COLOURS[0])
    assert lines > 13 * 10  # a line of every measure
    wider = left[0].copy()
    wider[:, 0] *= 1.1
    assert draw_measures(wider, tmp_path / "wider.png").read_bytes() != outlines.read_bytes()


def test_correlations_show_values_controls_and_the_papers_figures(tmp_path: Path) -> None:
    left, right = crowd(24, 1), crowd(24, 2)
    scores = correlate(left, right, range(24), genders=["f", "m"] * 12, n_shuffles=50)
    paper = {measure.name: 0.2 for measure in MEASURES}
    with_paper = ink(draw_correlations(scores, tmp_path / "with.png", paper), INK)
    assert with_paper > ink(draw_correlations(scores, tmp_path / "without.png"), INK) + 13
    plain = [replace(score, controls={}) for score in scores]
    path = draw_correlations(plain, tmp_path / "plain.png", paper)
    assert ink(path, COLOURS[2]) == 0 < ink(tmp_path / "with.png", COLOURS[2])  # within gender


def test_projections_colour_every_label_and_curves_every_run(tmp_path: Path) -> None:
    plane = np.random.default_rng(0).normal(size=(40, 2))
    labels = {"gender": ["f", "m"] * 20}
    path = draw_projections({"voice": plane, "face": plane}, labels, tmp_path / "tsne.png")
    assert ink(path, COLOURS[0]) > 100 and ink(path, COLOURS[1]) > 100
    one = draw_projections({"voice": plane}, {"nothing": ["clip"] * 40}, tmp_path / "one.png")
    assert ink(one, COLOURS[0]) > 100 and ink(one, COLOURS[1]) == 0
    curve = Curve(np.arange(5.0), np.arange(5.0)[::-1])
    run = {"total": curve}
    first = draw_curves({"run": run}, tmp_path / "first.png")
    second = draw_curves({"run": run}, tmp_path / "second.png", validation={"run": run})
    assert ink(first, COLOURS[0]) > 50 and ink(first, COLOURS[1]) == 0
    assert ink(second, COLOURS[0]) > ink(first, COLOURS[0]) + 20  # the solid line of validation
    two = draw_curves({"run": run, "other": {"total": curve}}, tmp_path / "two.png")
    assert ink(two, COLOURS[1]) > 20


def test_retrieval_examples_of_a_small_gallery_leave_empty_places(faces: list[Path]) -> None:
    eligible = np.array([[True, False, True]] * 3)
    eligible[1] = True
    grid = retrieval_examples(
        np.eye(3), np.eye(3), range(3), faces[:3], faces[:3], distance="cosine", eligible=eligible
    )
    assert all(len(row) == 1 + 3 + 1 for row in grid.faces)
    assert grid.faces[0] == (faces[0], faces[0], faces[2], None, faces[0])


def test_measures_can_only_be_drawn_on_the_68_point_scheme(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="68"):
        draw_measures(np.zeros((5, 2)), tmp_path / "no.png")
