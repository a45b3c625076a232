"""Numbers other people published, as data, each with how its protocol differs from ours.

Nothing here is computed by this project. The figures of the paper are those of Oh et al., CVPR
2019; the rows on the authors' own images were measured with dlib for the protocol description of
this project. They are printed beside ours so that a reader sees both the number and the reason
why it may not compare.
"""

from dataclasses import dataclass
from types import MappingProxyType

PAPER = "Oh et al., Speech2Face, CVPR 2019"


@dataclass(frozen=True)
class Published:
    """One published table.

    Attributes:
        name: key under which a protocol looks it up.
        title: what the table holds.
        source: where it was published.
        difference: how the published protocol differs from ours, in one or two sentences.
        columns: names of the columns, the first names the rows.
        rows: one tuple a row, as printed; numbers in the unit of the column's name.
    """

    name: str
    title: str
    source: str
    difference: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]

    def value(self, row: str, column: str) -> float:
        """The number in `row` (by its first cell) under `column`."""
        found = next(cells for cells in self.rows if cells[0] == row)
        number = found[self.columns.index(column)]
        assert isinstance(number, float | int)
        return float(number)


FEATURE_SIMILARITY = Published(
    name="similarity",
    title="Feature similarity (Table 2), mean ± standard deviation over 5,000 clips",
    source=f"{PAPER}, Table 2",
    difference=(
        "VGG-Face fc7 features of an undisclosed scale, voice feature against true-face feature, "
        "no baseline given. Only the angle compares, and only between models of one feature."
    ),
    columns=("clip", "angle (degrees)", "angle SD", "L2", "L2 SD", "L1", "L1 SD"),
    rows=(
        ("3 s", 48.43, 6.01, 0.19, 0.03, 9.81, 1.74),
        ("6 s", 45.75, 5.09, 0.18, 0.02, 9.42, 1.54),
    ),
)

RETRIEVAL = Published(
    name="retrieval",
    title="Retrieval (Table 3), percent of 5,000 queries",
    source=f"{PAPER}, Table 3",
    difference=(
        "The paper heads the columns R@K, but its random row (1, 2, 5, 10) is possible only if K "
        "counts percent of the 5,000 faces: read them as R@K %. VGG-Face fc7, voice feature as "
        "query; whether the test persons are disjoint from the training ones is not stated."
    ),
    columns=("query", "R@1 %", "R@2 %", "R@5 %", "R@10 %"),
    rows=(
        ("3 s, L2", 5.86, 10.02, 18.98, 28.92),
        ("3 s, L1", 6.22, 9.92, 18.94, 28.70),
        ("3 s, cosine", 8.54, 13.64, 24.80, 38.54),
        ("6 s, L2", 8.28, 13.66, 24.66, 35.84),
        ("6 s, L1", 8.34, 13.70, 24.66, 36.22),
        ("6 s, cosine", 10.92, 17.00, 30.60, 45.82),
        ("random", 1.00, 2.00, 5.00, 10.00),
    ),
)

GENDERS = ("female", "male")
ETHNICITIES = ("WHITE", "INDIA", "BLACK", "ASIAN")  # Face++'s words, an instrument's label set
DECADES = ("10", "20", "30", "40", "50", "60", "70")

_ATTRIBUTE_DIFFERENCE = (
    "Labels of Face++, an online service; ours are the packaged classifier's. Rows are normalised, "
    "the face count of each row is not given, and no chance or majority rate is printed."
)


def _matrix(
    name: str, title: str, source: str, labels: tuple[str, ...], rows: tuple[tuple[float, ...], ...]
) -> Published:
    cells: tuple[tuple[str | float | None, ...], ...] = tuple(
        (label, *row) for label, row in zip(labels, rows, strict=True)
    )
    return Published(name, title, source, _ATTRIBUTE_DIFFERENCE, ("true photo", *labels), cells)


# Row: Face++'s label of the original photo; column: of the reconstruction. Shares of the row.
GENDER_MATRIX = _matrix(
    "gender",
    "Apparent gender, original photo against face from speech (Fig. 4a)",
    f"{PAPER}, Fig. 4a",
    GENDERS,
    ((0.94, 0.06), (0.06, 0.94)),
)
GENDER_MATRIX_F2F = _matrix(
    "gender_f2f",
    "Apparent gender, original photo against face from image",
    "authors' supplement, Fig. 4",
    GENDERS,
    ((0.89, 0.11), (0.02, 0.98)),
)
AGE_MATRIX = _matrix(
    "age",
    "Age decade, original photo against face from speech (Fig. 4a)",
    f"{PAPER}, Fig. 4a",
    DECADES,
    (
        (0.00, 0.38, 0.38, 0.23, 0.00, 0.00, 0.00),
        (0.00, 0.26, 0.38, 0.24, 0.09, 0.02, 0.01),
        (0.00, 0.21, 0.32, 0.32, 0.10, 0.03, 0.02),
        (0.00, 0.09, 0.32, 0.33, 0.18, 0.05, 0.02),
        (0.00, 0.07, 0.24, 0.27, 0.30, 0.08, 0.05),
        (0.00, 0.05, 0.12, 0.33, 0.28, 0.16, 0.05),
        (0.00, 0.08, 0.14, 0.20, 0.14, 0.10, 0.35),
    ),
)
AGE_MATRIX_F2F = _matrix(
    "age_f2f",
    "Age decade, original photo against face from image",
    "authors' supplement, Fig. 4",
    DECADES,
    (
        (0.00, 0.85, 0.00, 0.15, 0.00, 0.00, 0.00),
        (0.03, 0.58, 0.29, 0.07, 0.03, 0.00, 0.00),
        (0.00, 0.25, 0.42, 0.23, 0.07, 0.02, 0.00),
        (0.00, 0.07, 0.27, 0.46, 0.18, 0.01, 0.01),
        (0.00, 0.00, 0.08, 0.25, 0.52, 0.12, 0.03),
        (0.00, 0.01, 0.04, 0.10, 0.34, 0.40, 0.11),
        (0.00, 0.00, 0.00, 0.02, 0.10, 0.27, 0.61),
    ),
)
ETHNICITY_MATRIX = _matrix(
    "ethnicity",
    "Ethnicity in Face++'s four words, original photo against face from speech (Fig. 4a)",
    f"{PAPER}, Fig. 4a",
    ETHNICITIES,
    (
        (0.61, 0.05, 0.04, 0.30),
        (0.48, 0.13, 0.13, 0.27),
        (0.49, 0.13, 0.11, 0.27),
        (0.38, 0.10, 0.03, 0.50),
    ),
)

# Face++ label counts of the data (Fig. 4b); <10 is counted as 10 and >80 as 70 in the matrices.
GENDER_COUNTS = MappingProxyType({"female": 1867, "male": 3119})
ETHNICITY_COUNTS = MappingProxyType({"WHITE": 2505, "INDIA": 435, "BLACK": 603, "ASIAN": 1443})
AGE_COUNTS = MappingProxyType(
    {"<10": 97, "20": 1464, "30": 1372, "40": 937, "50": 609, "60": 322, "70": 167, ">80": 18}
)

CRANIOFACIAL = Published(
    name="craniofacial",
    title="Pearson r between face from image and face from speech (Fig. 5)",
    source=f"{PAPER}, Fig. 5; three decimals from the authors' statistics file",
    difference=(
        "Landmarks of the DEST library, renders at exaggeration 0.7 and not 0, about 968 clips, "
        "lengths in pixels of the canonical frame, no gender control; the indices of the landmarks "
        "behind each measure are not published. Another landmark model gives other values in the "
        "authors' own files (nasal index 0.07 to 0.14)."
    ),
    columns=("measure", "r (paper)", "r (file)"),
    rows=(
        ("upper_lip_height", 0.16, 0.156),
        ("lateral_upper_lip_height", 0.26, 0.264),
        ("jaw_width", 0.11, 0.107),
        ("nose_height", 0.14, 0.142),
        ("nose_width", 0.35, 0.353),
        ("labio_oral_width", 0.17, 0.165),
        ("mandibular_index", 0.20, 0.196),
        ("intercanthal_index", 0.21, 0.210),
        ("nasal_index", 0.38, 0.376),
        ("vermilion_height_index", 0.29, 0.294),
        ("mouth_face_width_index", 0.20, 0.204),
        ("nose_area", 0.28, 0.283),
        ("philtrum_width", None, 0.038),
        ("random baseline (nasal index)", 0.02, None),
    ),
)

_IMAGE_DIFFERENCE = (
    "The authors' own renders, dlib ResNet-128 on the page's images; N true photos as gallery. "
    "Whether the authors trained on some of these clips is not stated."
)
IMAGES_VOXCELEB = Published(
    name="images_voxceleb",
    title="The authors' reconstructions, VoxCeleb part: 328 clips of 130 persons, dlib, percent",
    source="authors' page, measured for the protocol description of this project",
    difference=_IMAGE_DIFFERENCE + " These clips are not in the shared data.",
    columns=("images", "R@1 %", "R@2 %", "R@5 %", "R@10 %", "1:2", "same-gender 1:2"),
    rows=(
        ("S2F exg0", 6.1, 10.4, 18.3, 30.5, 75.3, 61.7),
        ("S2F exg0.7", 7.9, 12.2, 22.9, 35.4, 77.8, 64.6),
        ("S2F exg1.4", 8.2, 13.7, 26.8, 38.7, 78.8, 65.8),
        ("F2F (ceiling)", 100.0, 100.0, 100.0, 100.0, 100.0, 100.0),
        ("chance", 0.9, 1.9, 4.9, 9.9, 50.0, 50.0),
        ("gender oracle", 1.9, 3.7, 10.0, 19.9, 75.3, 50.0),
        ("gender + nationality oracle", 29.8, 40.2, 56.6, 67.7, 92.9, 85.5),
    ),
)
IMAGES_AVSPEECH = Published(
    name="images_avspeech",
    title="The authors' reconstructions, AVSpeech part: 484 clips, dlib, percent",
    source="authors' page, measured for the protocol description of this project",
    difference=_IMAGE_DIFFERENCE + " Other clips and another gallery than here.",
    columns=("images", "R@1 %", "R@2 %", "R@5 %", "R@10 %", "1:2", "same-gender 1:2"),
    rows=(
        ("S2F exg0", 2.9, 7.4, 18.6, 30.4, 74.0, None),
        ("S2F exg0.7", 4.5, 10.7, 20.9, 32.9, 76.5, None),
        ("S2F exg1.4", 5.6, 10.5, 23.6, 35.1, 77.7, None),
        ("F2F (ceiling)", 96.5, 97.1, 99.0, 99.6, 99.8, None),
        ("chance", 0.8, 1.9, 5.0, 9.9, 50.0, None),
    ),
)

TABLES = MappingProxyType(
    {
        table.name: table
        for table in (
            FEATURE_SIMILARITY,
            RETRIEVAL,
            GENDER_MATRIX,
            GENDER_MATRIX_F2F,
            AGE_MATRIX,
            AGE_MATRIX_F2F,
            ETHNICITY_MATRIX,
            CRANIOFACIAL,
            IMAGES_VOXCELEB,
            IMAGES_AVSPEECH,
        )
    }
)
