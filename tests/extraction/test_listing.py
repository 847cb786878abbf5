"""Lists of images: what is there is found, counted and hashed; what is not, or leaves the folder, is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_images import image_folders, write_image

from ood_bench.canonical import sha256_of_lines
from ood_bench.errors import RequestError
from ood_bench.extraction.listing import ImageList, check_count, drawn, from_folder, from_list
from ood_bench.extraction.units import Units


def test_class_folders_are_labels_in_alphabetical_order(tmp_path: Path) -> None:
    images = from_folder("val", image_folders(tmp_path) / "val")
    assert images.n == 12
    assert images.labels == tuple(label for label in range(4) for _ in range(3))
    assert images.ids[0] == "c00/image-000.png"
    assert images.sha256 == sha256_of_lines(images.ids)
    assert from_folder("noise", tmp_path / "noise").labels is None


def test_named_classes_are_labels_in_their_order_and_the_others_are_left_out(tmp_path: Path) -> None:
    images = from_folder("val", image_folders(tmp_path) / "val", ["c03", "c01"])
    assert set(zip(images.labels or (), (one[:3] for one in images.ids), strict=True)) == {(0, "c03"), (1, "c01")}


def test_a_list_finds_files_at_their_path_or_by_their_name_alone(tmp_path: Path) -> None:
    for name in ("a/x 1.png", "b/y.png"):
        write_image(tmp_path / name, 0)
    images = from_list("s", ["x 1.png 3", "b/y.png 0", "gone.png 1"], tmp_path, "list.txt")
    assert images.ids == ("x 1.png", "b/y.png", "gone.png")
    assert images.labels == (3, 0, 1)
    assert images.places[0] == str(tmp_path / "a" / "x 1.png")
    assert images.missing == ("gone.png",)
    assert images.present().ids == ("x 1.png", "b/y.png")
    with pytest.raises(RequestError, match=r"should have 3 images, but 1 are not there \(gone.png\)"):
        check_count(images, 3, None)


@pytest.mark.parametrize(
    "entry", ["../../etc/passwd", "/etc/passwd", "a/../../b.png", "..", "C:/x.png", "a\\..\\b.png", "a\x00.png"]
)
def test_an_entry_that_leaves_the_folder_is_refused(tmp_path: Path, entry: str) -> None:
    write_image(tmp_path / "a.png", 0)
    with pytest.raises(RequestError, match=r"line 2 of list.txt names .*, which lies outside the folder of the images"):
        from_list("s", ["a.png", entry], tmp_path, "list.txt")


def test_lists_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 0)
    with pytest.raises(RequestError, match=r"names 'a.png' 2 times; an image is in a set once"):
        from_list("s", ["a.png", "a.png"], tmp_path, "list.txt")
    with pytest.raises(RequestError, match=r"either all lines of list.txt carry a label or none; line 2 has none"):
        from_list("s", ["a.png 1", "b.png"], tmp_path, "list.txt")
    with pytest.raises(RequestError, match="should name images, but it is empty"):
        from_list("s", ["", " "], tmp_path, "list.txt")
    with pytest.raises(RequestError, match="but there is no such folder"):
        from_folder("s", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="but none was found there"):
        from_folder("s", tmp_path / "empty")


def test_wrong_counts_and_other_images_are_refused(tmp_path: Path) -> None:
    images = from_folder("val", image_folders(tmp_path) / "val")
    check_count(images, 12, images.sha256)
    with pytest.raises(RequestError, match="should have 13 images, but 12 were found; complete or clean the folder"):
        check_count(images, 13, None)
    with pytest.raises(RequestError, match=r"should be the list 000000000000, but the images found make .*: as many"):
        check_count(images, 12, "0" * 64)


def test_a_draw_takes_as_many_of_each_class_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    whole = from_folder("train", image_folders(tmp_path, fit=9) / "train")
    one, again, other = drawn(whole, 3, 0), drawn(whole, 3, 0), drawn(whole, 3, 1)
    assert one.ids == again.ids != other.ids
    assert np.bincount(one.labels or ()).tolist() == [3] * 4
    assert list(one.ids) == sorted(one.ids)
    # the draw of a class does not depend on the other classes
    part = drawn(from_folder("train", tmp_path / "train", ["c00", "c01"]), 3, 0)
    assert part.ids == one.ids[:6]
    with pytest.raises(RequestError, match=r"takes 10 images of each class, but class 0 \(c00\) has 9"):
        drawn(whole, 10, 0)


def test_a_spread_of_a_few_images_covers_the_list() -> None:
    whole = ImageList("s", tuple(map(str, range(100))), list(map(str, range(100))), tuple(range(100)))
    assert whole.first(5).labels == (0, 25, 50, 74, 99)
    assert whole.first(1).labels == (0,)
    assert whole.first(200) is whole


def test_batches_never_reach_over_the_end_of_a_unit() -> None:
    units = Units(n=23, size=8, batch=3)
    assert units.count == 3
    assert [len(batch) for batch in units.batches(0)] == [3, 3, 2]
    assert [position for unit in range(3) for batch in units.batches(unit) for position in batch] == list(range(23))
    assert units.of(16) == 2
