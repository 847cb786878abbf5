"""Reading other programs' files: every format gives the arrays it holds, and nothing in a file runs."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ood_bench.errors import RequestError
from ood_bench.importing.foreign import BARE, SUFFIXES, read_arrays

ARRAYS = {
    "features": np.arange(12, dtype=np.float32).reshape(4, 3),
    "labels": np.array([3, 1, 2, 0]),
}


def dump(path: Path, value: object, protocol: int = 4) -> None:
    path.write_bytes(pickle.dumps(value, protocol=protocol))


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


WRITERS: dict[str, Callable[[Path], Any]] = {
    ".npz": lambda path: np.savez(path, **ARRAYS),
    ".pt": lambda path: torch.save(as_tensors(ARRAYS), path),
    ".pth": lambda path: torch.save(as_tensors(ARRAYS), path),
    ".safetensors": lambda path: save_file(as_tensors(ARRAYS), path),
    ".pkl": lambda path: dump(path, ARRAYS),
    ".pickle": lambda path: dump(path, ARRAYS),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_arrays_come_back_by_name(tmp_path: Path, suffix: str) -> None:
    WRITERS[suffix](path := tmp_path / f"a{suffix}")
    back = read_arrays(path)
    assert back.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


@pytest.mark.parametrize("suffix", [".npy", ".pt", ".pkl"])
def test_a_bare_array_has_no_name(tmp_path: Path, suffix: str) -> None:
    path, array = tmp_path / f"a{suffix}", ARRAYS["features"]
    {".npy": np.save, ".pkl": dump, ".pt": lambda p, a: torch.save(torch.from_numpy(a), p)}[suffix](path, array)
    back = read_arrays(path)
    assert list(back) == [BARE]
    np.testing.assert_array_equal(back[BARE], array)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        ARRAYS["features"],
        np.asfortranarray(ARRAYS["features"]),
        ARRAYS["features"].astype(">f4"),
        ARRAYS["features"].astype(np.float16)[::2],
        np.float32(2.5),
        np.array(["a", "ü"]),
    ],
    ids=["C", "Fortran", "big-endian", "sliced", "scalar", "texts"],
)
def test_every_pickle_protocol_is_read(tmp_path: Path, protocol: int, array: np.ndarray) -> None:
    dump(path := tmp_path / "a.pkl", (array, [array]), protocol)
    back = read_arrays(path)
    assert list(back) == ["0", "1.0"]
    np.testing.assert_array_equal(back["1.0"], array)


def test_the_module_names_of_both_numpy_generations_are_read(tmp_path: Path) -> None:
    dump(path := tmp_path / "a.pkl", ARRAYS["features"], 2)
    old, new = b"numpy.core.multiarray", b"numpy._core.multiarray"
    written = path.read_bytes()
    assert old in written or new in written
    for wanted in (old, new):
        path.write_bytes(written.replace(new, old).replace(old, wanted))
        np.testing.assert_array_equal(read_arrays(path)[BARE], ARRAYS["features"])


class Evil:
    """Asks to be built by calling whatever it is told."""

    def __init__(self, call: Any, *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "witness"
    dump(
        path := tmp_path / "a.pkl", {"features": ARRAYS["features"], "x": Evil(os.system, f"touch {witness}")}, protocol
    )
    with pytest.raises(RequestError, match=r"a.pkl would need '(posix|nt).system' to be built"):
        read_arrays(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("call", "arguments", "named"),
    [
        (eval, ("1",), "eval"),
        (getattr, ("x", "upper"), "getattr"),
        (bytearray, (3,), "bytearray"),
        (np.load, ("x",), "load"),
        (np.fromfile, ("x",), "fromfile"),
        (np.memmap, ("x",), "memmap"),
    ],
)
def test_no_other_global_is_admitted(tmp_path: Path, call: Any, arguments: tuple[object, ...], named: str) -> None:
    dump(path := tmp_path / "a.pkl", Evil(call, *arguments))
    with pytest.raises(RequestError, match=rf"would need '[\w.]*{named}' to be built"):
        read_arrays(path)


@pytest.mark.parametrize(
    "name",
    [
        "numpy.core.multiarray\nfromfile",
        "numpy.core.numeric\nscalar",
        "numpy\nload",
        "builtins\nobject",
        "_codecs\ndecode",
    ],
)
def test_a_global_is_refused_before_it_is_called(tmp_path: Path, name: str) -> None:
    (path := tmp_path / "a.pkl").write_bytes(b"c" + name.encode() + b"\n.")
    with pytest.raises(RequestError, match=r"a.pkl"):
        read_arrays(path)


@pytest.mark.parametrize("arguments", [b"(V\xe9\nVlatin1\nVstrict\nt", b"(Va\nt", b"(Va\nI1\nt", b"(I1\nVlatin1\nt"])
def test_the_codec_takes_two_texts_and_nothing_else(tmp_path: Path, arguments: bytes) -> None:
    (path := tmp_path / "a.pkl").write_bytes(b"c_codecs\nencode\n" + arguments + b"R.")
    with pytest.raises(RequestError, match=r"_codecs.encode is called with something other than two texts"):
        read_arrays(path)


def test_a_torch_file_with_other_objects_is_refused_by_name(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    torch.save({"features": torch.zeros(2, 2), "x": Evil(os.system, f"touch {witness}")}, path := tmp_path / "a.pt")
    with pytest.raises(RequestError, match=r"a.pt would need '(posix|nt).system' to be built"):
        read_arrays(path)
    assert not witness.exists()


def test_python_objects_are_refused(tmp_path: Path) -> None:
    objects = np.array([{}, None], dtype=object)
    np.savez(tmp_path / "a.npz", features=objects)
    with pytest.raises(
        RequestError, match=r"a.npz should be a whole .npz file of arrays, but cannot be read: Object arr"
    ):
        read_arrays(tmp_path / "a.npz")
    dump(tmp_path / "a.pkl", {"features": objects})
    with pytest.raises(RequestError, match=r"a.pkl holds Python objects in 'features'; save plain numbers instead"):
        read_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, -1.0], ids=["empty", "begun", "cut", "other bytes"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"a{suffix}"
    np.save(path, ARRAYS["features"]) if suffix == ".npy" else WRITERS[suffix](path)
    whole = path.read_bytes()
    path.write_bytes(b"something else\n" * 20 if keep < 0 else whole[: int(len(whole) * keep)])
    with pytest.raises(
        RequestError, match=rf"a\{suffix} should be a whole \{suffix} file of arrays, but cannot be read: "
    ) as e:
        read_arrays(path)
    assert "\n" not in str(e.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"a.mat should end in one of .npz, .npy"):
        read_arrays(tmp_path / "a.mat")
    with pytest.raises(RequestError, match=r"a.npz should be a whole .npz file .* No such file"):
        read_arrays(tmp_path / "a.npz")


def test_nested_tables_texts_numbers_and_bfloat16(tmp_path: Path) -> None:
    content = {
        "state_dict": {"fc.weight": torch.ones(2, 3, dtype=torch.bfloat16)},
        "ids": ["x", "y"],
        "labels": [1, 2],
        "abstain_index": 4,
        "epoch": None,
        "arch": "resnet",
    }
    torch.save(content, path := tmp_path / "a.pt")
    back = read_arrays(path)
    assert list(back) == ["state_dict.fc.weight", "ids", "labels", "abstain_index"]
    assert back["state_dict.fc.weight"].dtype == np.float32
    assert back["ids"].tolist() == ["x", "y"]
    assert (back["labels"].tolist(), back["abstain_index"].shape) == ([1, 2], ())
