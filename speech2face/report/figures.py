"""Every figure: one function returns its data, one draws it. Only this file imports matplotlib.

Drawing uses matplotlib's Agg canvas directly: no window, no global state, the same file for the
same data. A grid with real photographs belongs only in a user's own report folder: such figures
are never part of the project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.agreement import NO_FACE, Confusion
from speech2face.evaluation.craniofacial import MEASURES, Measure
from speech2face.evaluation.scores import Distance, comparable, score_block
from speech2face.evaluation.uncertainty import Score
from speech2face.extras import missing_extra
from speech2face.face.landmarks import N_LANDMARKS
from speech2face.files import whole_file
from speech2face.records import lines, parse_json

CELL = 112  # pixels of a face in a grid
DPI = 100
INK, QUIET, PAPER = "#1b1f24", "#59636e", "#ffffff"
# Okabe and Ito's palette: distinct for the usual kinds of colour blindness.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")


def require_drawing() -> None:
    """Refuse at once if no figure could be drawn at the end.

    Raises:
        Speech2FaceError: the package that draws is missing.
    """
    _matplotlib()


def _matplotlib() -> ModuleType:
    try:
        import matplotlib
        import matplotlib.figure
    except ModuleNotFoundError as missing:
        raise missing_extra("matplotlib", "evaluate") from missing
    return matplotlib


def _figure(width: float, height: float) -> Any:
    """Empty figure of that many pixels."""
    return _matplotlib().figure.Figure(
        figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER
    )


def _save(figure: Any, path: Path) -> Path:
    with whole_file(path) as temporary:  # no version in it: same data, same bytes
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return path


def _plain(axes: Any) -> Any:
    """Axes without a box, with light ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=QUIET, labelsize=8)
    return axes


# ---------------------------------------------------------------- grids of faces


@dataclass(frozen=True)
class FaceGrid:
    """Faces in rows and columns.

    Attributes:
        title: one line on top.
        columns: heading of each column.
        rows: label of each row, may be empty.
        faces: picture files, `[rows][columns]`; None leaves a gap.
        captions: a line below each face, as `faces`; empty for none at all.
        marked: (row, column) of faces to frame, such as the true face among those retrieved.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    faces: tuple[tuple[Path | None, ...], ...]
    captions: tuple[tuple[str, ...], ...] = ()
    marked: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        grids = [self.faces, *([self.captions] if self.captions else [])]
        for grid in grids:
            if len(grid) != len(self.rows) or any(len(row) != len(self.columns) for row in grid):
                raise Speech2FaceError(
                    f"grid {self.title!r} does not have {len(self.rows)} rows of "
                    f"{len(self.columns)} faces",
                    "give one face, or None, for each row and column",
                )


def draw_grid(grid: FaceGrid, path: Path) -> Path:
    """Draw a grid of faces as a PNG at `path`."""
    label = 8 + 7 * max(len(name) for name in grid.rows)  # pixels; a letter takes up to 7
    caption = 16 if grid.captions else 2
    width = label + len(grid.columns) * (CELL + 8) + 8
    top = 58
    height = top + len(grid.rows) * (CELL + caption + 6) + 8
    figure = _figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    axes.text(8, 20, grid.title, fontsize=10, color=INK, va="center", weight="bold")
    for c, heading in enumerate(grid.columns):
        x = label + c * (CELL + 8) + CELL / 2
        axes.text(x, 44, heading, fontsize=8, color=INK, ha="center", va="center")
    for r, name in enumerate(grid.rows):
        y = top + r * (CELL + caption + 6)
        axes.text(8, y + CELL / 2, name, fontsize=8, color=INK, va="center")
        for c, face in enumerate(grid.faces[r]):
            x = label + c * (CELL + 8)
            if face is not None:
                axes.imshow(_thumbnail(face), extent=(x, x + CELL, y + CELL, y), aspect="auto")
            if (r, c) in grid.marked:
                axes.add_patch(_frame(x, y))
            if grid.captions:
                words = grid.captions[r][c]
                axes.text(x + CELL / 2, y + CELL + 9, words, fontsize=7, color=QUIET, ha="center")
    axes.set(xlim=(0, width), ylim=(height, 0))
    return _save(figure, path)


def _thumbnail(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize((2 * CELL, 2 * CELL), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _frame(x: float, y: float) -> Any:
    import matplotlib.patches

    return matplotlib.patches.Rectangle(
        (x, y), CELL, CELL, fill=False, edgecolor=COLOURS[2], linewidth=3
    )


def columns_of_pictures(
    title: str,
    columns: Mapping[str, Sequence[Path | None]],
    rows: Sequence[str] | None = None,
    *,
    limit: int | None = None,
) -> FaceGrid:
    """A grid with one row per clip and one column per kind of picture.

    Used for the triplets page (Fig. 3), the transposed teaser (Fig. 1), the row of exaggerations
    and the same person in several clips (Fig. 9).

    Args:
        columns: pictures of the same clips in the same order, under the column's heading.
        rows: label of each clip; none unless given.
        limit: only the first so many clips.
    """
    faces = tuple(zip(*columns.values(), strict=True))[:limit]
    names = tuple(rows)[:limit] if rows is not None else ("",) * len(faces)
    return FaceGrid(title, tuple(columns), names, faces)


def rows_of_pictures(title: str, rows: Mapping[str, Sequence[Path | None]]) -> FaceGrid:
    """Transposed grid: one row per kind of picture, one column per clip (Figs. 1 and 6)."""
    faces = tuple(tuple(pictures) for pictures in rows.values())
    width = max(len(pictures) for pictures in faces)
    return FaceGrid(title, ("",) * width, tuple(rows), faces)


def retrieval_examples(
    query: ArrayLike,
    gallery: ArrayLike,
    own: ArrayLike,
    query_pictures: Sequence[Path],
    gallery_pictures: Sequence[Path],
    *,
    distance: Distance,
    eligible: NDArray[np.bool_] | None = None,
    n_rows: int = 5,
    n_nearest: int = 5,
) -> FaceGrid:
    """Top-5 retrieval (Fig. 7): the best ranked queries, and in the last row a miss.

    The rows before the last are those whose own face ranks best, chosen to be read as examples of
    success; the last is the query of median rank among those that miss the top, a usual failure.

    Args:
        query: features of the generated faces, `[Q, D]`.
        gallery: features of the true photos, `[G, D]`.
        own: gallery row of each query's own face, `[Q]`.
        eligible: which gallery faces may be shown to which query, `[Q, G]`; other photos of the
            query's person are left out this way, and a place without a candidate stays empty.
            All unless given.
    """
    queries, candidates = comparable(query, gallery, distance)
    own_rows = np.asarray(own, np.intp)
    n_nearest = min(n_nearest, len(candidates))
    scores = score_block(queries, candidates, distance)  # [Q, G]
    if eligible is not None:
        allowed = eligible.copy()
        allowed[np.arange(len(own_rows)), own_rows] = True
        scores = np.where(allowed, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")  # [Q, G]
    ranks = (order == own_rows[:, None]).argmax(axis=1) + 1  # [Q]
    by_rank = np.argsort(ranks, kind="stable")
    hits = [q for q in by_rank if ranks[q] <= n_nearest][: n_rows - 1]
    misses = [q for q in by_rank if ranks[q] > n_nearest]
    shown = [*hits, *([misses[len(misses) // 2]] if misses else [])]
    sizes = np.isfinite(scores).sum(axis=1)
    faces = tuple(
        (
            query_pictures[q],
            *(
                gallery_pictures[g] if np.isfinite(scores[q, g]) else None
                for g in order[q, :n_nearest]
            ),
            gallery_pictures[own_rows[q]],
        )
        for q in shown
    )
    marked = {(r, 1 + int(ranks[q]) - 1) for r, q in enumerate(shown) if ranks[q] <= n_nearest}
    return FaceGrid(
        title=f"Nearest of {int(sizes.max())} faces; best ranked queries, last row a miss",
        columns=("from the voice", *(str(k + 1) for k in range(n_nearest)), "true face"),
        rows=tuple(f"true face is {ranks[q]} of {sizes[q]}" for q in shown),
        faces=faces,
        marked=frozenset(marked),
    )


# ---------------------------------------------------------------- confusion matrices


def draw_confusions(tables: Mapping[str, Confusion], path: Path) -> Path:
    """Row-normalised confusion matrices side by side (Fig. 4a), each cell with its share."""
    n_classes = max(len(table.classes) for table in tables.values())
    side = 90 + 44 * (n_classes + 1)
    figure = _figure(max(side, 240) * len(tables), side + 40)
    for index, (title, table) in enumerate(tables.items()):
        axes = figure.add_subplot(1, len(tables), index + 1)
        shares = table.shares()  # [C, C + 1]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        columns = (*table.classes, NO_FACE)
        counts = table.counts.sum(axis=1)
        names = [f"{name} ({count:.0f})" for name, count in zip(table.classes, counts, strict=True)]
        axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_title(title, fontsize=9, color=INK)
        for row, column in np.ndindex(*shares.shape):
            shade = PAPER if shares[row, column] > 0.5 else INK
            words = f"{100 * shares[row, column]:.0f}"
            axes.text(column, row, words, ha="center", va="center", fontsize=7, color=shade)
    figure.supxlabel("generated face, percent of the row", fontsize=8, color=QUIET)
    figure.supylabel("true photo (count)", fontsize=8, color=QUIET)
    figure.set_layout_engine("constrained")
    return _save(figure, path)


def label_shares(labels: Sequence[str], order: Sequence[str] | None = None) -> dict[str, float]:
    """Share of each label (Fig. 4b), in the given or else sorted order."""
    names = tuple(order) if order is not None else tuple(sorted(set(labels)))
    return {name: labels.count(name) / len(labels) for name in names}


def draw_shares(shares: Mapping[str, Mapping[str, float]], path: Path) -> Path:
    """Bars of the shares of several labels, one panel each (Fig. 4b)."""
    figure = _figure(340 * len(shares), 260)
    for index, (title, bars) in enumerate(shares.items()):
        axes = _plain(figure.add_subplot(1, len(shares), index + 1))
        axes.bar(list(bars), [100 * share for share in bars.values()], color=COLOURS[0])
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_ylabel("percent", fontsize=8, color=QUIET)
    figure.set_layout_engine("constrained")
    return _save(figure, path)


# ---------------------------------------------------------------- landmarks and correlations

# Lines of the 68-point scheme; a closed one returns to its first point.
_OUTLINES: tuple[tuple[range, bool], ...] = (
    (range(0, 17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
)


@dataclass(frozen=True, eq=False)
class LandmarkPair:
    """One clip's face from image (F2F) and from speech (S2F), with their points."""

    from_image: Path
    from_speech: Path
    image_landmarks: NDArray[np.float64]  # [68, 2] pixels, (x, y)
    speech_landmarks: NDArray[np.float64]  # [68, 2]


def draw_landmarks(pairs: Sequence[LandmarkPair], path: Path) -> Path:
    """Landmarks over F2F (upper row) and S2F (lower row), Fig. 5."""
    side = 200
    figure = _figure(side * len(pairs) + 40, 2 * side + 30)
    for column, pair in enumerate(pairs):
        rows = (
            ("from image", pair.from_image, pair.image_landmarks),
            ("from speech", pair.from_speech, pair.speech_landmarks),
        )
        for row, (title, picture, landmarks) in enumerate(rows):
            axes = figure.add_subplot(2, len(pairs), row * len(pairs) + column + 1)
            _draw_face(axes, picture, landmarks)
            if column == 0:
                axes.text(
                    -0.04, 0.5, title, transform=axes.transAxes, rotation=90, fontsize=8,
                    va="center", ha="right", color=INK,
                )  # fmt: skip
    figure.set_layout_engine("constrained")
    return _save(figure, path)


def _draw_face(axes: Any, picture: Path, landmarks: NDArray[np.float64]) -> None:
    with Image.open(picture) as image:
        axes.imshow(np.asarray(image.convert("RGB")))
    for points, closed in _OUTLINES:
        line = landmarks[[*points, *([points[0]] if closed else [])]]
        axes.plot(line[:, 0], line[:, 1], color=COLOURS[5], linewidth=1)
    axes.plot(landmarks[:, 0], landmarks[:, 1], ".", color=COLOURS[1], markersize=3)
    axes.axis("off")


def draw_measures(landmarks: NDArray[np.float64], path: Path) -> Path:
    """Every craniofacial measure drawn over the points of one face, `[68, 2]`, with its name."""
    if landmarks.shape != (N_LANDMARKS, 2):
        raise Speech2FaceError(f"landmarks of shape {landmarks.shape}", "expected `[68, 2]`")
    columns = 5
    rows = -(-len(MEASURES) // columns)
    figure = _figure(190 * columns, 240 * rows)
    for index, measure in enumerate(MEASURES):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_measure(axes, measure, landmarks)
    figure.set_layout_engine("constrained")
    return _save(figure, path)


def _draw_measure(axes: Any, measure: Measure, landmarks: NDArray[np.float64]) -> None:
    for points, closed in _OUTLINES:
        line = landmarks[[*points, *([points[0]] if closed else [])]]
        axes.plot(line[:, 0], line[:, 1], color="#c4cbd2", linewidth=0.8)
    for colour, ends in zip(COLOURS, measure.lines, strict=False):
        line = np.stack([landmarks[list(points)].mean(axis=0) for points in ends])  # [2, 2]
        axes.plot(line[:, 0], line[:, 1], "o-", color=colour, linewidth=1.6, markersize=3)
    axes.set_title(measure.title, fontsize=8, color=INK)
    axes.set_xlabel(measure.definition.split(": ")[-1], fontsize=6, color=QUIET)
    axes.invert_yaxis()
    axes.set(aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_correlations(
    scores: Sequence[Score], path: Path, published: Mapping[str, float] | None = None
) -> Path:
    """r of every measure with its interval, beside its controls and the paper's value."""
    figure = _figure(760, 70 + 30 * len(scores))
    axes = _plain(figure.add_subplot())
    for row, score in enumerate(scores):
        if score.interval is not None:
            axes.plot(
                [score.interval.low, score.interval.high], [row, row],
                color=COLOURS[0], linewidth=5, alpha=0.35, solid_capstyle="butt",
            )  # fmt: skip
    rows = np.arange(len(scores))
    axes.plot([score.value for score in scores], rows, "o", color=COLOURS[0], label="r, 95 %")
    marks = (("same gender shuffled", "x", 1), ("within gender", "s", 2))
    for name, mark, colour in marks:
        if all(name in score.controls for score in scores):
            values = [score.controls[name] for score in scores]
            axes.plot(values, rows, mark, color=COLOURS[colour], markersize=5, label=name)
    if published:
        known = [(row, published[s.name]) for row, s in enumerate(scores) if s.name in published]
        axes.plot(
            [value for _, value in known], [row for row, _ in known], "D",
            color=INK, fillstyle="none", markersize=6, label="paper (other landmarks, factor 0.7)",
        )  # fmt: skip
    axes.axvline(0, color=QUIET, linewidth=0.8)
    titles = {measure.name: measure.title for measure in MEASURES}
    axes.set_yticks(rows, [titles.get(score.name, score.name) for score in scores], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("Pearson r between face from image and face from speech", fontsize=8)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False)
    figure.set_layout_engine("constrained")
    return _save(figure, path)


# ---------------------------------------------------------------- projections and curves


def draw_projections(
    planes: Mapping[str, NDArray[np.float64]], labels: Mapping[str, Sequence[str]], path: Path
) -> Path:
    """t-SNE pictures: one row per kind of feature `[N, 2]`, one column per label as colour."""
    figure = _figure(300 * len(labels) + 60, 290 * len(planes) + 20)
    grid = figure.subplots(len(planes), len(labels), squeeze=False)
    for r, (kind, plane) in enumerate(planes.items()):
        for c, (label, values) in enumerate(labels.items()):
            axes = grid[r][c]
            for colour, name in enumerate(sorted(set(values))):
                rows = np.array([value == name for value in values])
                axes.plot(
                    plane[rows, 0], plane[rows, 1], ".", label=name,
                    color=COLOURS[colour % len(COLOURS)], markersize=6,
                )  # fmt: skip
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{kind}, coloured by {label}", fontsize=8, color=INK)
            axes.legend(fontsize=6, frameon=False)
    figure.set_layout_engine("constrained")
    return _save(figure, path)


@dataclass(frozen=True, eq=False)
class Curve:
    """One loss of one run."""

    samples_seen: NDArray[np.float64]  # [N]
    values: NDArray[np.float64]  # [N]


def training_curves(
    stats: Path, names: Sequence[str] | None = None, *, split: str = "train"
) -> dict[str, Curve]:
    """Losses by name from a run's `stats.jsonl`, one JSON object per line, against samples seen.

    Args:
        stats: written by training; each line has `samples_seen` and numbers by name.
        names: which to take; every number that is not a counter unless given.
        split: "train" for the losses of updates, "val" for those of validation.

    Raises:
        Speech2FaceError: no such file, no line of the split with `samples_seen`, or a name that
            never occurs.
    """
    if not stats.is_file():
        raise Speech2FaceError("there are no training statistics", "check the path", str(stats))
    points: dict[str, list[tuple[float, float]]] = {}
    for where, line in lines(stats):
        try:
            record = parse_json(line, where)
        except Speech2FaceError:
            continue  # a line cut by a kill; the next one repeats its numbers
        if not isinstance(record, dict) or "samples_seen" not in record:
            continue
        if record.get("split", "train") != split:
            continue
        for name, value in _numbers(record):
            points.setdefault(name, []).append((float(record["samples_seen"]), value))
    if not points:
        raise Speech2FaceError(
            f"no {split} line holds samples_seen and a loss",
            "give the stats.jsonl of a run",
            str(stats),
        )
    if absent := sorted(set(names or ()) - points.keys()):
        raise Speech2FaceError(
            f"no loss is called {absent[0]!r}", f"there are {sorted(points)}", str(stats)
        )
    wanted = names or sorted(points)
    return {name: Curve(*np.array(points[name]).T) for name in wanted}


_CLOCKS = frozenset({"samples_seen", "step", "seconds", "learning_rate", "time"})


def _numbers(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """(name, number) of a record, those of inner tables as `table.name`."""
    found: list[tuple[str, float]] = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            found += _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name not in _CLOCKS:
            found.append((prefix + name, float(value)))
    return found


def draw_curves(
    runs: Mapping[str, Mapping[str, Curve]],
    path: Path,
    *,
    validation: Mapping[str, Mapping[str, Curve]] | None = None,
) -> Path:
    """Curves: one panel per loss, one colour per run, training dashed, validation solid."""
    losses = sorted({name for run in runs.values() for name in run})
    columns = min(3, len(losses))
    rows = -(-len(losses) // columns)
    figure = _figure(330 * columns, 250 * rows + 20)
    for index, loss in enumerate(losses):
        axes = _plain(figure.add_subplot(rows, columns, index + 1))
        for colour, name in enumerate(runs):
            for kind, run, dash in (
                ("training", runs[name], "--"),
                ("validation", (validation or {}).get(name, {}), "-"),
            ):
                if loss in run:
                    axes.plot(
                        run[loss].samples_seen, run[loss].values, dash, label=f"{name}, {kind}",
                        color=COLOURS[colour % len(COLOURS)], linewidth=1.2,
                    )  # fmt: skip
        axes.set_title(loss, fontsize=9, color=INK)
        axes.set_xlabel("samples seen", fontsize=8, color=QUIET)
        axes.legend(fontsize=7, frameon=False)
    figure.set_layout_engine("constrained")
    return _save(figure, path)


@dataclass(frozen=True)
class Bar:
    """One system's figure with its interval."""

    name: str
    score: Score


@dataclass(frozen=True)
class BarPanel:
    """One measure of several systems, with chance and, where known, the gender oracle."""

    title: str
    bars: tuple[Bar, ...] = field(default_factory=tuple)


def draw_bars(panels: Sequence[BarPanel], path: Path) -> Path:
    """Systems side by side: value, 95 % interval, chance (dotted), gender oracle (dashed)."""
    n_bars = max(len(panel.bars) for panel in panels)
    figure = _figure(300 * len(panels), 110 + 30 * n_bars)
    for index, panel in enumerate(panels):
        axes = _plain(figure.add_subplot(1, len(panels), index + 1))
        for row, bar in enumerate(panel.bars):
            value = 100 * bar.score.value
            axes.barh(row, value, color=COLOURS[0], height=0.6, alpha=0.8)
            if interval := bar.score.interval:
                axes.plot(
                    [100 * interval.low, 100 * interval.high], [row, row],
                    color=INK, linewidth=1.4,
                )  # fmt: skip
        names = [bar.name for bar in panel.bars] if index == 0 else [""] * len(panel.bars)
        axes.set_yticks(range(len(panel.bars)), names, fontsize=8)
        axes.invert_yaxis()
        first = panel.bars[0].score
        axes.axvline(100 * first.chance, color=INK, linestyle=":", linewidth=1.2, label="chance")
        if first.oracle is not None:
            axes.axvline(
                100 * first.oracle, color=COLOURS[1], linestyle="--", linewidth=1.2,
                label="gender oracle",
            )  # fmt: skip
        axes.set_title(panel.title, fontsize=9, color=INK)
        axes.set_xlabel("percent", fontsize=8, color=QUIET)
        axes.set_xlim(0, 100)
        if index == 0:
            figure.legend(fontsize=7, frameon=False, loc="outside lower left", ncols=2)
    figure.set_layout_engine("constrained")
    return _save(figure, path)
