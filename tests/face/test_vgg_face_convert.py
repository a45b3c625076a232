"""The converter on random weights, written in each public layout by hands of the test's own."""

import hashlib
import io
import os
import signal
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from processes import members, survivors, temporaries

torch = pytest.importorskip("torch", reason="the train extra is not installed")
from scipy.io import savemat  # noqa: E402

from speech2face.cli import convert_vgg_face  # noqa: E402
from speech2face.cli.main import main  # noqa: E402
from speech2face.errors import Speech2FaceError  # noqa: E402
from speech2face.face import vgg_face_convert  # noqa: E402
from speech2face.face.vgg_face import RGB_MEAN, VGGFaceConfig, load_vgg_face  # noqa: E402
from speech2face.face.vgg_face_convert import LAYOUTS, convert  # noqa: E402
from speech2face.face.weight_readers import read_weights  # noqa: E402

# Sizes that differ from each other, and a last map of 2 x 2 pixels: a swapped axis cannot hide.
SMALL = VGGFaceConfig(widths=(4, 5, 6, 7, 8), hidden=11, n_identities=9, image_size=64)
FULLY_CONNECTED = ("fc6", "fc7", "fc8")
IMAGE = np.random.default_rng(7).uniform(0, 255, (64, 64, 3))  # [H, W, C], RGB


def random_layers(axes: str, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each layer, the kernel's axes in the order of `axes`, of o, i, y, x."""
    generator = np.random.default_rng(seed)
    layers = {}
    for name, shape in SMALL.layers():
        lengths = dict(zip("oiyx", shape, strict=True))
        kernel = generator.normal(0, 0.3, [lengths[axis] for axis in axes])
        bias = generator.normal(0, 0.3, shape[0])
        layers[name] = kernel.astype(np.float32), bias.astype(np.float32)
    return layers


def slow_logits(layers: dict, axes: str, image: np.ndarray) -> np.ndarray:
    """fc8 of one picture `[H, W, 3]` by einsum on maps `[H, W, C]`; all layers as convolutions."""
    maps = image.astype(np.float64)
    for name, (kernel, bias) in layers.items():
        side = kernel.shape[axes.index("y")]
        if name not in FULLY_CONNECTED:
            maps = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(maps, (side, side), axis=(0, 1))
        maps = np.einsum(f"hwiyx,{axes}->hwo", windows, kernel) + bias
        if name != "fc8":
            maps = np.maximum(maps, 0)
        if name in ("conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"):
            height, width, channels = maps.shape
            maps = maps.reshape(height // 2, 2, width // 2, 2, channels).max(axis=(1, 3))
    return maps.ravel()


def write_pytorch(path: Path, **options) -> np.ndarray:
    layers = random_layers("oiyx")
    state = {}
    for name, (kernel, bias) in layers.items():
        flat = name in FULLY_CONNECTED
        state[f"{name}.weight"] = torch.from_numpy(
            kernel.reshape(len(kernel), -1) if flat else kernel
        )
        state[f"{name}.bias"] = torch.from_numpy(bias)
    torch.save(state, path, **options)
    return slow_logits(layers, "oiyx", IMAGE - RGB_MEAN)


def write_old_pytorch(path: Path) -> np.ndarray:
    return write_pytorch(path, _use_new_zipfile_serialization=False)


def caffe_blobs(names: tuple[str, str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    layers = random_layers("oiyx")
    blobs = {}
    for name, (kernel, bias) in layers.items():
        flat = name in FULLY_CONNECTED
        blobs[f"{name}{names[0]}"] = kernel.reshape(len(kernel), -1) if flat else kernel
        blobs[f"{name}{names[1]}"] = bias
    return blobs, slow_logits(layers, "oiyx", (IMAGE - RGB_MEAN)[..., ::-1])  # reads blue first


def write_numpy(path: Path) -> np.ndarray:
    blobs, logits = caffe_blobs((".weight", ".bias"))
    with path.open("wb") as file:
        np.savez(file, **blobs)
    return logits


def write_matconvnet(path: Path, *, old: bool = False) -> np.ndarray:
    layers = random_layers("yxio")
    cells = []
    for name, (kernel, bias) in layers.items():
        if old:
            cells.append({"name": name, "type": "conv", "filters": kernel, "biases": bias[None]})
        else:
            pair = np.empty((1, 2), dtype=object)
            pair[0, 0], pair[0, 1] = kernel, bias[:, None]
            cells.append({"name": name, "type": "conv", "weights": pair, "stride": [1.0, 1.0]})
        cells.append({"name": f"relu_{name}", "type": "relu"})
    cells.append({"name": "prob", "type": "softmax", "weights": np.empty((0, 0), dtype=object)})
    row = np.empty((1, len(cells)), dtype=object)
    row[0, :] = cells
    with path.open("wb") as file:
        savemat(file, {"layers": row, "meta": {"classes": "nobody"}})
    return slow_logits(layers, "yxio", IMAGE - RGB_MEAN)


def write_old_matconvnet(path: Path) -> np.ndarray:
    return write_matconvnet(path, old=True)


WRITERS = {
    "pytorch": write_pytorch,
    "pytorch (before 1.6)": write_old_pytorch,
    "numpy": write_numpy,
    "matconvnet": write_matconvnet,
    "matconvnet (before 2015)": write_old_matconvnet,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_convention_a_converted_file_gives_what_its_own_layout_means(
    kind: str, tmp_path: Path
) -> None:
    expected = WRITERS[kind](tmp_path / "public")
    converted = convert(tmp_path / "public", tmp_path / "ours.safetensors", config=SMALL)
    assert converted.layout == kind.split()[0]
    network = load_vgg_face(converted.path).double()
    image = torch.from_numpy(IMAGE).permute(2, 0, 1)[None]
    np.testing.assert_allclose(network(image)[0].numpy(), expected, rtol=1e-6)
    assert converted.n_parameters == sum(p.numel() for p in network.parameters())


def test_the_reference_depends_on_channel_order_and_on_the_order_of_fc6() -> None:
    # If these were equal, the test above could not fail for the two classical mistakes.
    layers = random_layers("oiyx")
    straight = slow_logits(layers, "oiyx", IMAGE - RGB_MEAN)
    assert not np.allclose(straight, slow_logits(layers, "oiyx", (IMAGE - RGB_MEAN)[..., ::-1]))
    kernel, bias = layers["fc6"]
    layers["fc6"] = kernel.transpose(0, 2, 3, 1).reshape(kernel.shape), bias
    assert not np.allclose(straight, slow_logits(layers, "oiyx", IMAGE - RGB_MEAN))


def test_the_result_is_the_same_when_the_layout_is_named(tmp_path: Path) -> None:
    write_matconvnet(tmp_path / "a.mat")
    convert(tmp_path / "a.mat", tmp_path / "1", config=SMALL)
    convert(tmp_path / "a.mat", tmp_path / "2", layout="matconvnet", config=SMALL)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    write_pytorch(tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save({name: weight.half() for name, weight in state.items()}, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "b", config=SMALL)
    assert {p.dtype for p in load_vgg_face(tmp_path / "b").parameters()} == {torch.float32}


class Evil:
    """Creates a file when it is unpickled by a reader that trusts it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("new", [True, False])
def test_a_malicious_pickle_is_refused_and_does_not_run(new: bool, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    source = tmp_path / "vgg_face_dag.pth"
    content = {"conv1_1.weight": Evil(trace)}
    torch.save(content, source, _use_new_zipfile_serialization=new)
    with pytest.raises(Speech2FaceError, match="vgg_face_dag.pth: cannot be read as weights"):
        convert(source, tmp_path / "ours", config=SMALL)
    assert not trace.exists() and not (tmp_path / "ours").exists()
    torch.load(source, weights_only=False)
    assert trace.exists()  # so the file was a trap indeed


def test_an_npz_with_pickled_objects_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    np.savez(tmp_path / "a.npz", **{"conv1_1.weight": np.array([Evil(trace)], dtype=object)})
    with pytest.raises(Speech2FaceError, match="cannot be read as weights"):
        convert(tmp_path / "a.npz", tmp_path / "ours", config=SMALL)
    assert not trace.exists()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("kept", [0.03, 0.5, 0.999])
def test_a_truncated_file_is_refused_whole(kind: str, kept: float, tmp_path: Path) -> None:
    source = tmp_path / "public"
    WRITERS[kind](source)
    whole = source.read_bytes()
    source.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(Speech2FaceError, match="public"):
        convert(source, tmp_path / "ours", config=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["public"]  # nothing half-written


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("content", [b"", b"Dear reader", b"\n" * 99, bytes(range(256)) * 40])
def test_bytes_that_are_no_weights_are_refused_in_every_layout(
    layout: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(content)
    for named in (layout, "auto"):
        with pytest.raises(Speech2FaceError):
            convert(tmp_path / "a", tmp_path / "b", layout=named, config=SMALL)


def test_the_hash_is_checked_before_the_file_is_opened(tmp_path: Path, monkeypatch) -> None:
    write_pytorch(tmp_path / "a.pth")
    digest = hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()
    right = convert(tmp_path / "a.pth", tmp_path / "b", sha256=digest.upper(), config=SMALL)
    assert right.sha256 == digest

    def opened(*_: object) -> None:
        pytest.fail("it was opened")

    monkeypatch.setattr(vgg_face_convert, "read_weights", opened)
    with pytest.raises(Speech2FaceError, match=f"its SHA-256 is {digest}, not 0000"):
        convert(tmp_path / "a.pth", tmp_path / "c", sha256="0" * 64, config=SMALL)
    with pytest.raises(Speech2FaceError, match="no SHA-256"):
        convert(tmp_path / "a.pth", tmp_path / "c", sha256="abc", config=SMALL)


def changed_state(tmp_path: Path, name: str, change) -> Path:
    write_pytorch(tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    state[name] = change(state.get(name))
    torch.save(
        {key: weight for key, weight in state.items() if weight is not None}, tmp_path / "a.pth"
    )
    return tmp_path / "a.pth"


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("fc8.bias", lambda _: None, "1 of 32 weights are missing, first fc8.bias"),
        ("fc9.bias", lambda _: torch.zeros(3), "unknown weights"),
        ("conv2_1.weight", lambda w: w.transpose(0, 1), "conv2_1.weight: .* belongs"),
        ("fc6.weight", lambda w: w[:, :-1], "fc6.weight: .* belongs"),
        ("fc6.weight", lambda w: w.long(), "int64"),
        ("fc7.bias", lambda b: b * float("nan"), "fc7.bias: numbers that are not finite"),
    ],
)
def test_weights_of_another_network_are_refused(name, change, problem, tmp_path: Path) -> None:
    with pytest.raises(Speech2FaceError, match=problem):
        convert(changed_state(tmp_path, name, change), tmp_path / "b", config=SMALL)


def test_a_small_network_is_not_taken_for_the_published_one(tmp_path: Path) -> None:
    write_pytorch(tmp_path / "a.pth")
    with pytest.raises(Speech2FaceError, match="belongs"):
        convert(tmp_path / "a.pth", tmp_path / "b")


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    write_pytorch(tmp_path / "a.pth")
    (tmp_path / "b").write_text("mine")
    with pytest.raises(Speech2FaceError, match="exists"):
        convert(tmp_path / "a.pth", tmp_path / "b", config=SMALL)
    assert (tmp_path / "b").read_text() == "mine"
    convert(tmp_path / "a.pth", tmp_path / "b", config=SMALL, overwrite=True)
    assert load_vgg_face(tmp_path / "b").config == SMALL


def test_missing_source_folder_and_unwritable_destination_are_named(tmp_path: Path) -> None:
    write_pytorch(tmp_path / "a.pth")
    with pytest.raises(Speech2FaceError, match="none.pth: cannot be read"):
        convert(tmp_path / "none.pth", tmp_path / "b", config=SMALL)
    with pytest.raises(Speech2FaceError, match="cannot be read"):
        convert(tmp_path, tmp_path / "b", config=SMALL)
    (tmp_path / "file").touch()
    with pytest.raises(Speech2FaceError, match="b: cannot be written"):
        convert(tmp_path / "a.pth", tmp_path / "file" / "b", config=SMALL)
    with pytest.raises(Speech2FaceError, match="unknown layout 'keras'"):
        convert(tmp_path / "a.pth", tmp_path / "b", layout="keras", config=SMALL)


def test_the_command_offers_every_layout_and_reports_one_line(tmp_path: Path, capsys) -> None:
    assert set(convert_vgg_face.LAYOUTS) == {"auto", *LAYOUTS}
    (tmp_path / "letter.pth").write_text("Dear reader")
    command = ["convert-vgg-face", str(tmp_path / "letter.pth"), str(tmp_path / "b")]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "letter.pth: no known layout" in error and error.count("\n") == 1
    assert main([*command, "--layout", "keras"]) == 2


def test_the_command_converts(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(vgg_face_convert, "VGGFaceConfig", lambda: SMALL)
    write_pytorch(tmp_path / "a.pth")
    source, destination = str(tmp_path / "a.pth"), str(tmp_path / "b.safetensors")
    assert main(["convert-vgg-face", source, destination]) == 0
    assert "parameters from layout pytorch" in capsys.readouterr().out
    assert load_vgg_face(destination).config == SMALL
    assert main(["convert-vgg-face", source, destination]) == 1
    assert main(["convert-vgg-face", source, destination, "--force"]) == 0


def damaged_weights() -> dict[str, bytes]:
    """Small files on which libraries crashed or raised what was not caught."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.npy", b"x" * 40)
    whole = archive.getvalue()
    central = whole.index(b"PK\x01\x02")
    matlab = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"
    return {
        "directory without its magic": whole.replace(b"PK\x01\x02", b"PK\x01\x03"),
        "directory of a later version": whole[: central + 6] + b"\xff\0" + whole[central + 8 :],
        "a name of no alphabet": whole[:central].replace(b"a.npy", b"\x96.npy")
        + whole[central : central + 8]
        + b"\0\x08"
        + whole[central + 10 :].replace(b"a.npy", b"\x96.npy"),
        "extra field beyond its end": whole[: central + 30] + b"\5\0" + whole[central + 32 :],
        "a matrix of text that is none": matlab + struct.pack("<II", 14, 2**31 - 1) + b"\x06\0\0\0",
        "a matrix of matrices": matlab + struct.pack("<II", 14, 56) * 400,
        "a pickle of a hundred thousand lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "a pickle that remembers far": b"\x80\x02}r\xff\xff\xff\x7f.",
    }


@pytest.mark.parametrize("name", damaged_weights())
def test_damaged_weights_of_every_layout_are_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(damaged_weights()[name])
    with pytest.raises(Speech2FaceError, match="weights: (cannot be read|is a zip file with)"):
        convert(tmp_path / "weights", tmp_path / "ours", config=SMALL)


@pytest.mark.parametrize(
    "fault", ["os.kill(os.getpid(), 11)", "[0] * 2**40", "os._exit(3)", "raise ValueError('\\n')"]
)
def test_a_reader_that_crashes_or_takes_all_memory_is_an_error_of_the_file(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(f"import os\n{fault}\n")  # in place of the library
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "a.pth").write_bytes(b"anything")
    with pytest.raises(Speech2FaceError, match=r"a\.pth: cannot be read as weights"):
        read_weights(tmp_path / "a.pth", "pytorch")


def test_a_module_in_the_working_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_numpy(tmp_path / "a.npz")
    (tmp_path / "numpy.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    assert len(read_weights(Path("a.npz"), "numpy")) == 32


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_reader_ends_with_the_process_that_wanted_the_weights(
    tmp_path: Path, number: signal.Signals
) -> None:
    os.mkfifo(tmp_path / "weights")  # nobody writes into it: to open it takes for ever
    script = (
        "import sys; from pathlib import Path\n"
        "from speech2face.interruption import exit_on_signals\n"
        "exit_on_signals()\n"
        "from speech2face.face.weight_readers import read_weights\n"
        "read_weights(Path(sys.argv[1]), 'numpy')\n"
    )
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "weights")],
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while process.poll() is None and len(members(process.pid)) < 2:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert survivors(process.pid) == []
    if number == signal.SIGTERM:
        assert temporaries(tmp_path) == []
