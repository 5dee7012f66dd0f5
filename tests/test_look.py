import math

import numpy as np
import pytest
import torch
from PIL import Image

from study import weights
from study.config import TrainingConfig
from study.datasets import augment, crops
from study.marking import look

CONFIG = TrainingConfig("detector1d", size=64, length=96, channels=8, depth=2)
META = weights.Meta("detector1d", CONFIG, 68, scale=1.3, oversample=1.25)
SIDE = 80  # of what is cut, px: F times the oversampling
BOXES = [
    (100.3, 90.7, 131.0, 118.0),  # enlarged
    (140.0, 60.5, 230.2, 171.3),
    (90.0, 10.0, 330.0, 252.4),  # nearly the largest step that is not averaged first
    (-20.5, -31.0, 60.0, 55.0),  # over a corner
    (330.0, 150.0, 470.0, 320.0),  # over the opposite one
]


def picture(height=300, width=421):
    """Random px and hard edges of full contrast, where Lanczos' filter overshoots."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image[80:140, 150:153] = 255
    image[200:202] = 0
    return image


def close(one, other):
    """Whether pictures are the same but for roundings that fell the other way."""
    difference = np.abs(one.astype(int) - other.astype(int))
    return one.shape == other.shape and difference.max() <= 1 and (difference > 0).mean() < 2e-3


@pytest.mark.parametrize("box", BOXES)
def test_a_crop_is_the_one_that_pillow_cuts(box):
    image, affine = picture(), crops.square(box, META.scale, SIDE)
    expected = crops.cut(Image.fromarray(image), affine, SIDE)
    found = look.crop(image, affine, SIDE)
    assert found.dtype == np.uint8 and close(found, expected)


@pytest.mark.parametrize("block", [2, 3])
def test_a_large_square_is_the_one_that_pillow_cuts_from_means_of_blocks(block):
    large = picture(block * 300, block * 421)
    step, *first = means_affine = (2.2, 5.0, 2.0)  # so near the corner that blocks start there
    affine = (step * block, *(block * at + (block - 1) / 2 for at in first))
    assert math.floor(affine[0] / 2) == block
    means = Image.fromarray(large).reduce(block)
    assert close(look.crop(large, affine, SIDE), crops.cut(means, means_affine, SIDE))


@pytest.mark.parametrize("shape", [(301, 421), (300, 421), (301, 420), (5, 3)])
def test_means_of_four_are_those_of_pillow_at_odd_borders_too(shape):
    image = picture(*shape) if shape[0] > 5 else picture()[: shape[0], : shape[1]].copy()
    assert np.array_equal(look._reduced(image, 2), np.asarray(Image.fromarray(image).reduce(2)))


@pytest.mark.parametrize("meta", [META, weights.Meta("detector1d", CONFIG, 68, oversample=2.0)])
def test_an_image_is_what_training_samples_of_the_crop(meta):
    image, box, size = picture(), BOXES[1], CONFIG.size
    side = round(size * meta.oversample)
    affine = crops.square(box, meta.scale, side)
    cut = torch.from_numpy(look.crop(image, affine, side).transpose(2, 0, 1).copy())[None]
    matrix, shift = augment.crop_affine(1, size, side, 1.0)
    images, to_image = look.look(image, box, meta)
    assert images.shape == (1, 3, size, size) and images.dtype == torch.float32
    assert (images - augment.sample(cut, matrix, shift, size)).abs().max() < 1e-5
    points = torch.rand(1, 7, 2, dtype=torch.float64) * size
    cached = augment.to_cached(points, matrix, shift, size, side)[0].numpy()
    assert np.allclose(to_image(points), crops.to_image(cached, affine), atol=1e-4)


def test_lanczos_weights_by_hand():
    """Between two pixels: sinc(d) sinc(d/3) at d = 0.5, 1.5 and 2.5, over the sum of the six."""
    half = [
        3 / (d * math.pi) ** 2 * math.sin(d * math.pi) * math.sin(d * math.pi / 3)
        for d in (0.5, 1.5, 2.5)
    ]
    expected = np.array([*half[::-1], *half]) / (2 * sum(half))
    start, found = look._lanczos(1.0, np.array([10.5, 30.5]), 4)
    assert start.tolist() == [[7, 8, 9, 10], [27, 28, 29, 30]]
    for row in found.flatten(0, 1).numpy():
        assert np.allclose(row[row != 0], expected, atol=1e-6)


@pytest.mark.parametrize("step", [0.3, 1.0, 2.7])
def test_weights_of_a_pixel_sum_to_one_and_a_constant_stays(step):
    _, found = look._lanczos(step, np.array([20.2, 30.9]), 9)
    assert torch.allclose(found.sum(dim=-1), torch.ones(2, 9), atol=1e-6)
    gray = np.full((90, 80, 3), 137, dtype=np.uint8)
    assert (look.crop(gray, (step, 30.4, 25.1), 9) == 137).all()


def test_several_looks_are_each_look_and_the_picture_stays():
    image = picture()
    before = image.copy()
    images, to_image = look.look_at_all(image, np.array(BOXES), META)
    assert np.array_equal(image, before)
    points = torch.rand(len(BOXES), 68, 2) * CONFIG.size
    together = to_image(points)
    for row, box in enumerate(BOXES):
        one, back = look.look(image, box, META)
        assert torch.equal(one[0], images[row])
        assert np.array_equal(back(points[row : row + 1]), together[row])


def test_a_picture_of_a_view_is_cut_as_its_copy_is():
    image = picture()[:, ::-1]
    affine = crops.square(BOXES[1], META.scale, SIDE)
    assert np.array_equal(look.crop(image, affine, SIDE), look.crop(image.copy(), affine, SIDE))


def test_looking_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        look.look_at_all(picture(), np.array(BOXES), META)
        with pytest.raises(ValueError):
            look.look(picture(), (900.0, 50.0, 980.0, 130.0), META)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_square_outside_the_picture_is_named():
    with pytest.raises(ValueError, match="outside the image"):
        look.look(picture(), (900.0, 50.0, 980.0, 130.0), META)
