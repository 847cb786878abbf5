"""The images of the suite `digits` are what its file says, on every machine; the roles do not overlap."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_image

from ood_bench.digits.draws import normal, uniform
from ood_bench.digits.images import ImageSet, image_sets
from ood_bench.digits.shifts import FAMILIES, WHITE, blur, contrast, gaussian_noise, rotation, translation
from ood_bench.home import Home
from ood_bench.suites import Suite, load_suite

# First 12 hex digits of the sha256 of the pixels. The photographs are not here: their last bit is the JPEG decoder's.
PIXELS = {
    "digits-fit": "92cf183e4a94",
    "digits-val": "6a36364f4b13",
    "digits-test": "973158ce66ca",
    "digits-eight": "6052521052f8",
    "digits-nine": "89de9da5897f",
    "uniform-noise": "5ddf06de13f1",
    "blobs": "18ec920cc750",
    "stripes": "181de020ddbc",
    "rotation-1": "57623c9feec8",
    "rotation-2": "3fff40bb7e3c",
    "rotation-3": "e0035bef0d4d",
    "rotation-4": "5aa87416cb52",
    "rotation-5": "324c44443e31",
    "translation-1": "a32a31b5ab51",
    "translation-2": "96508d339b85",
    "translation-3": "e1c057a1b914",
    "translation-4": "b2b344ab9136",
    "translation-5": "55701a9a1e95",
    "gaussian-noise-1": "6a568d38e8ac",
    "gaussian-noise-2": "d0179abea33e",
    "gaussian-noise-3": "ad0a647f95d2",
    "gaussian-noise-4": "1589d464d16a",
    "gaussian-noise-5": "042434e7887d",
    "blur-1": "135302465ef9",
    "blur-2": "b550bfd5f0d0",
    "blur-3": "74fca2e9d5f3",
    "blur-4": "f73a6f63e052",
    "blur-5": "0ade4a0a4e54",
    "contrast-1": "523ae49e3ea4",
    "contrast-2": "a66223e4e0c5",
    "contrast-3": "c52c1ab1281b",
    "contrast-4": "7632f533be18",
    "contrast-5": "3868e9ff74b6",
}


@pytest.fixture(scope="module")
def sets() -> dict[str, ImageSet]:
    return image_sets()


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return load_suite("digits", Home(tmp_path_factory.mktemp("empty")))


def test_the_suite_and_the_images_agree(sets: dict[str, ImageSet], suite: Suite) -> None:
    assert sorted(name for _, name in suite.members) == sorted(sets)
    for name, spec in suite.sets.items():
        assert (spec.count, spec.list_sha256) == (len(sets[name].ids), sets[name].list_sha256), name
        assert spec.title, name
        assert spec.licence, name
        assert spec.source, name
    assert {family: len(names) for family, names in suite.shifted.items()} == dict.fromkeys(FAMILIES, 5)


def test_every_set_is_whole_and_within_the_levels(sets: dict[str, ImageSet]) -> None:
    for name, one in sets.items():
        assert one.images.shape == (len(one.ids), 8, 8), name
        assert one.labels.shape == (len(one.ids),), name
        assert one.images.max() <= WHITE, name
        assert len(set(one.ids)) == len(one.ids), name


def test_fit_val_and_test_share_no_image_and_are_all_of_the_eight_classes(sets: dict[str, ImageSet]) -> None:
    parts = [sets[name] for name in ("digits-fit", "digits-val", "digits-test")]
    ids = [identifier for part in parts for identifier in part.ids]
    labels = load_digits().target
    assert len(set(ids)) == len(ids)
    assert set(ids) == {f"digits/{row:04d}" for row in np.flatnonzero(labels < 8)}
    assert Counter(parts[0].labels.tolist()) == dict.fromkeys(range(8), 50)
    assert Counter(parts[1].labels.tolist()) == dict.fromkeys(range(8), 25)
    assert set(parts[2].labels.tolist()) == set(range(8))


def test_no_image_of_the_test_set_is_a_copy_of_one_learned_from(sets: dict[str, ImageSet]) -> None:
    learned = {image.tobytes() for name in ("digits-fit", "digits-val") for image in sets[name].images}
    assert not learned & {image.tobytes() for image in sets["digits-test"].images}


def test_an_id_leads_to_the_image_and_its_digit_in_the_source(sets: dict[str, ImageSet]) -> None:
    source = load_digits()
    for name in ("digits-fit", "digits-val", "digits-test", "digits-eight", "digits-nine"):
        rows = [int(identifier.removeprefix("digits/")) for identifier in sets[name].ids]
        np.testing.assert_array_equal(sets[name].images, source.images[rows])
        np.testing.assert_array_equal(sets[name].labels, source.target[rows])


def test_pixels_are_pinned(sets: dict[str, ImageSet]) -> None:
    made = {name: hashlib.sha256(one.images.tobytes()).hexdigest()[:12] for name, one in sets.items()}
    assert {name: made[name] for name in PIXELS} == PIXELS
    assert sorted(made.keys() - PIXELS.keys()) == ["patches-china", "patches-flower"]


def test_a_patch_is_the_mean_of_its_place_in_the_photograph(sets: dict[str, ImageSet]) -> None:
    photo = load_sample_image("china.jpg").astype(float)
    at = sets["patches-china"].ids.index("china/patch-004-017")
    for row, column in ((0, 0), (3, 6), (7, 7)):
        top, left = 4 * 32 + 4 * row, 17 * 32 + 4 * column
        red, green, blue = photo[top : top + 4, left : left + 4].mean(axis=(0, 1))
        level = (0.299 * red + 0.587 * green + 0.114 * blue) / 255 * 16
        assert abs(sets["patches-china"].images[at, row, column] - level) <= 0.5 + 1e-9


def test_shifted_sets_are_the_test_set_drawn_otherwise(sets: dict[str, ImageSet]) -> None:
    test = sets["digits-test"]
    for family in FAMILIES:
        distances = []
        for severity in range(1, 6):
            shifted = sets[f"{family}-{severity}"]
            assert shifted.ids[7] == f"{test.ids[7]}/{family}-{severity}"
            np.testing.assert_array_equal(shifted.labels, test.labels)
            distances.append(np.abs(shifted.images.astype(int) - test.images).mean())
        assert distances == sorted(distances), family
        assert distances[0] > 0.1, family


def test_a_shift_of_no_strength_changes_nothing(sets: dict[str, ImageSet]) -> None:
    images = sets["digits-val"].images
    for shift, none in ((rotation, 0.0), (translation, 0.0), (gaussian_noise, 0.0), (blur, 0.0), (contrast, 1.0)):
        np.testing.assert_array_equal(shift(images, none), images)


def test_half_a_turn_is_the_image_upside_down(sets: dict[str, ImageSet]) -> None:
    images = sets["digits-val"].images
    np.testing.assert_array_equal(rotation(images, 180.0), images[:, ::-1, ::-1])


def test_a_translation_moves_the_centre_of_a_point_by_its_length() -> None:
    point = np.zeros((40, 8, 8), dtype=np.uint8)
    point[:, 3, 4] = WHITE
    moved = translation(point, 2.0).astype(float)
    steps = np.arange(8)
    weight = moved.sum(axis=(1, 2))
    row, column = (moved.sum(axis=axis) @ steps / weight for axis in (2, 1))
    np.testing.assert_allclose(np.hypot(row - 3, column - 4), 2.0, atol=0.15)  # bilinear weights rounded to 17 levels
    assert len(np.unique(np.sign(row - 3))) == 2


def test_draws_are_of_the_right_distribution_and_of_their_purpose_alone() -> None:
    flat, bell = uniform("a test", 100_000), normal("a test", 100_000)
    assert 0 < flat.min() < flat.max() < 1
    np.testing.assert_allclose([flat.mean(), flat.var()], [1 / 2, 1 / 12], atol=3e-3)  # 3 standard errors
    np.testing.assert_allclose([bell.mean(), bell.var()], [0, 1], atol=1.5e-2)
    np.testing.assert_array_equal(flat, uniform("a test", 100_000))
    assert abs(np.corrcoef(flat, uniform("another test", 100_000))[0, 1]) < 0.01
