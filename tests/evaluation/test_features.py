"""Feature files: what is written is read again, and every kind of damage is named."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from speech2face.errors import Speech2FaceError
from speech2face.evaluation.features import FeatureSet, Labels, Provenance, align

GENERATOR = np.random.default_rng(0)


def some_features(n: int = 5, size: int = 4) -> FeatureSet:
    return FeatureSet(
        np.array([f"clip{i}" for i in range(n)]),
        np.array([f"person{i // 2}" for i in range(n)]),
        GENERATOR.normal(size=(n, size)).astype(np.float32),
        Provenance("compact", "ab" * 32, "dlib-resnet-128", 1.4, 6.0, "invented", "CC0"),
    )


def write_raw(path: Path, header: object, values: np.ndarray) -> Path:
    path.write_bytes(
        safetensors.numpy.save({"values": values}, {"speech2face": json.dumps(header)})
    )
    return path


def header_of(n: int) -> dict[str, object]:
    return {"format": 1, "ids": [f"c{i}" for i in range(n)], "persons": ["p"] * n}


def test_a_saved_set_is_read_again_in_full(tmp_path: Path) -> None:
    written = some_features()
    written.save(tmp_path / "f.safetensors")
    read = FeatureSet.load(tmp_path / "f.safetensors")
    np.testing.assert_array_equal(read.ids, written.ids)
    np.testing.assert_array_equal(read.persons, written.persons)
    np.testing.assert_array_equal(read.values, written.values)
    assert read.provenance == written.provenance
    assert [entry.name for entry in tmp_path.iterdir()] == ["f.safetensors"]


def test_the_same_set_is_the_same_bytes(tmp_path: Path) -> None:
    written = some_features()
    for name in "ab":
        written.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.safetensors"
    some_features().save(path)
    before = path.read_bytes()

    def broken(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(Speech2FaceError, match=r"f\.safetensors: cannot be written \(disk full\)"):
        some_features(7).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match=r"nowhere\.safetensors: there is no such"):
        FeatureSet.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 40, 150, -1])
def test_a_truncated_file_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "f.safetensors"
    some_features().save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Speech2FaceError, match=r"f\.safetensors: not a readable feature file"):
        FeatureSet.load(path)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    for seed in range(50):
        path.write_bytes(np.random.default_rng(seed).bytes(300))
        with pytest.raises(Speech2FaceError, match="not a readable feature file"):
            FeatureSet.load(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(safetensors.numpy.save({"values": np.ones((2, 2), np.float32)}))
    with pytest.raises(Speech2FaceError, match="not a readable feature file"):
        FeatureSet.load(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ids": ["c0", "c1"]}, "2 ids, 3 persons, 3 features: the lengths differ"),
        ({"persons": ["p"]}, "3 ids, 1 persons"),
        ({"ids": ["c0", "c0", "c1"]}, "ids appear more than once: 'c0'"),
        ({"ids": None}, "no list of ids"),
        ({"persons": [1, 2, 3]}, "no list of persons"),
        ({"format": 2}, "another format"),
        ({"provenance": {"exaggeration": "much"}}, "exaggeration is 'much'"),
        ({"provenance": {"pickle": "x"}}, "provenance in the header is malformed"),
        ({"provenance": [1]}, "provenance in the header is malformed"),
    ],
)
def test_a_header_that_does_not_fit_is_named(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    path = write_raw(tmp_path / "f", header_of(3) | change, np.ones((3, 2), np.float32))
    with pytest.raises(Speech2FaceError, match=f"{path}: .*{problem}"):
        FeatureSet.load(path)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([[1, 1], [np.nan, 1], [1, 1]], "NaN or infinite features: 'c1'"),
        ([[1, 1], [1, 1], [np.inf, 1]], "NaN or infinite features: 'c2'"),
        ([[0, 0], [1, 1], [0, 0]], "norm zero: 'c0', 'c2'"),
        ([1, 2, 3], "shape"),
        (np.empty((3, 0)), "shape"),
    ],
)
def test_features_that_cannot_be_used_are_named(
    tmp_path: Path, values: object, problem: str
) -> None:
    path = write_raw(tmp_path / "f", header_of(3), np.asarray(values, np.float32))
    with pytest.raises(Speech2FaceError, match=problem):
        FeatureSet.load(path)


def test_whole_numbers_are_not_features(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "f", header_of(3), np.ones((3, 2), np.int64))
    with pytest.raises(Speech2FaceError, match="not floats"):
        FeatureSet.load(path)


def test_rows_follow_the_order_asked_for() -> None:
    features = some_features()
    assert features.rows(["clip3", "clip0", "clip3"]).tolist() == [3, 0, 3]
    with pytest.raises(Speech2FaceError, match="'a', 'b', 'c' and 1 more"):
        features.rows(["a", "b", "c", "d", "clip1"])


def test_align_brings_both_into_one_order() -> None:
    reference = some_features()
    order = np.array([4, 2, 0, 1, 3])
    first, second = align(reference.at(order), reference)
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.values, second.values)


def test_align_refuses_ids_without_a_partner() -> None:
    features = some_features()
    with pytest.raises(Speech2FaceError, match="no reference feature for 'clip4'"):
        align(features, features.at([0, 1, 2, 3]))
    with pytest.raises(Speech2FaceError, match="no prediction for 'clip4'"):
        align(features.at([0, 1, 2, 3]), features)
    first, second = align(features.at([0, 3]), features, partial=True)
    assert first.ids.tolist() == second.ids.tolist() == ["clip0", "clip3"]


def test_align_refuses_an_id_that_means_two_persons() -> None:
    features = some_features()
    others = FeatureSet(features.ids, features.persons[::-1], features.values)
    with pytest.raises(Speech2FaceError, match="different persons for 'clip0'"):
        align(features, others)


def test_features_of_two_recognisers_are_not_mixed() -> None:
    features = some_features()
    sface = FeatureSet(["x"], ["p"], features.values[:1], Provenance(recogniser="sface"))
    with pytest.raises(Speech2FaceError, match="dlib-resnet-128.* cannot be compared .*sface"):
        features.joined(sface)
    wide = FeatureSet(["x"], ["p"], np.ones((1, 9)))
    with pytest.raises(Speech2FaceError, match="4 numbers.*9 numbers"):
        align(features, wide)


def test_joined_keeps_both_and_refuses_a_shared_id() -> None:
    features = some_features()
    more = FeatureSet(["x", "y"], ["p", "q"], np.ones((2, 4)))
    assert len(features.joined(more)) == 7
    with pytest.raises(Speech2FaceError, match="more than once: 'clip0'"):
        features.joined(features.at([0]))


def test_labels_of_jsonl_and_csv_are_the_same(tmp_path: Path) -> None:
    jsonl, csv_file = tmp_path / "l.jsonl", tmp_path / "l.csv"
    jsonl.write_text('{"id": "a", "gender": "female", "age": 31}\n\n{"id": "b", "gender": null}\n')
    csv_file.write_text("id,gender,age\na,female,31\nb,,\n")
    for path in (jsonl, csv_file):
        labels = Labels.read(path)
        assert labels.columns == ["age", "gender"]
        assert labels.column("gender", ["b", "a", "unknown"]).tolist() == ["", "female", ""]
        assert labels.column("age", ["a"]).tolist() == ["31"]


def test_labels_may_be_keyed_by_person(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("person,gender\nann,female\n")
    labels = Labels.read(tmp_path / "l.csv", key="person")
    assert labels.column("gender", ["ann", "ann"]).tolist() == ["female", "female"]


def test_an_absent_label_column_names_the_file_and_the_known_columns(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,gender\na,female\n")
    with pytest.raises(Speech2FaceError, match=r"l\.csv: no label column 'age'.*\['gender'\]"):
        Labels.read(tmp_path / "l.csv").column("age", ["a"])


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("l.jsonl", "{", ", line 1: is not JSON"),
        ("l.jsonl", "[1]", ", line 1: is not a JSON object"),
        ("l.jsonl", '{"gender": "female"}', ", line 1: has no 'id'"),
        ("l.jsonl", '{"id": "a", "g": 1}\n{"id": "a", "g": 2}', ": id .a. has two different sets"),
        ("l.csv", "id,gender\na\n", ", line 2: has 1 fields in 2 columns"),
        ("l.csv", "id,gender\na,b,c\n", ", line 2: has 3 fields in 2 columns"),
        ("l.csv", "name,gender\na,b\n", ", line 2: has no 'id'"),
    ],
)
def test_a_malformed_label_file_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Speech2FaceError, match=f"{name}{problem}"):
        Labels.read(tmp_path / name)


def test_a_label_file_that_is_absent_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match="no such file"):
        Labels.read(tmp_path / "l.csv")
    (tmp_path / "l.csv").write_bytes(b"id\xff\xfe")
    with pytest.raises(Speech2FaceError, match="not UTF-8"):
        Labels.read(tmp_path / "l.csv")


def test_labels_that_know_none_of_the_ids_are_refused(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,gender\na,female\n")
    with pytest.raises(Speech2FaceError, match="none of the 2 ids is in the file"):
        Labels.read(tmp_path / "l.csv").column("gender", ["x", "y"])
