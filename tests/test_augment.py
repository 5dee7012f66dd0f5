import math

import pytest
import torch

from study.datasets import augment
from study.datasets.augment import Augmentation
from study.landmarks import IBUG68

B, SIDE, SIZE, SHARE = 3, 96, 56, 0.625  # S is no multiple of F, nor F of S * share
NONE = Augmentation(
    rotation=0, scale=0, shift=0, mirror=0, brightness=0, contrast=0, color=0, gray=0, occlusion=0
)
ORDER = (1, 0, 2, 4, 3)  # five landmarks: two pairs and one in the middle
GEOMETRY = {
    "nothing": {},
    "rotation": dict(rotation=40.0),
    "scale": dict(scale=0.3),
    "shift": dict(shift=0.15),
    "mirror": dict(mirror=1.0),
    "all": dict(rotation=30.0, scale=0.25, shift=0.08, mirror=0.5),
}


def settings(**changed):
    return Augmentation(**{**vars(NONE), **changed})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_points(count=B, landmarks=5, reach=12.0, seed=3):
    """(B, N, 2) cached px around the middle of the picture."""
    unit = torch.rand(count, landmarks, 2, generator=generator(seed), dtype=torch.float64)
    return (SIDE - 1) / 2 + reach * (2 * unit - 1)


def random_faces(count=B):
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator(5)).byte()


def blobs(points, sigma=4.0):
    """A picture of one Gaussian blob a face, at points (B, 2) in cached px."""
    px = torch.arange(SIDE, dtype=torch.float64)
    one = torch.exp(-((px - points[..., None]) ** 2) / (2 * sigma**2))  # (B, 2, S)
    picture = 255 * one[:, 1, :, None] * one[:, 0, None, :]  # (B, y, x)
    return picture.round().byte()[:, None].repeat(1, 3, 1, 1)


def centroids(images):
    """(B, 2) centre of mass of each picture, px."""
    weight = images.double().mean(1)
    px = torch.arange(images.shape[-1], dtype=torch.float64)
    mass = weight.sum((-1, -2))
    first = torch.stack([(weight.sum(-2) * px).sum(-1), (weight.sum(-1) * px).sum(-1)], -1)
    return first / mass[:, None]


def augmented(faces, points, chosen, seed=0, order=ORDER):
    return augment.augment(
        faces,
        points,
        size=SIZE,
        share=SHARE,
        order=order,
        settings=chosen,
        generator=generator(seed),
    )


# --- geometry ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GEOMETRY)
def test_a_blob_lands_where_its_point_lands(kind):
    count = 24
    points = random_points(count, landmarks=1)
    images, moved = augmented(blobs(points[:, 0]), points, settings(**GEOMETRY[kind]), order=(0,))
    inside = ((moved[:, 0] - (SIZE - 1) / 2).abs() < SIZE / 2 - 14).all(-1)  # whole blobs alone
    assert inside.sum() > count / 3
    assert (centroids(images) - moved[:, 0])[inside].abs().max() < 0.03


def test_a_plain_crop_shows_a_blob_where_its_point_is():
    points = random_points(8, landmarks=1, reach=5.0)
    images, moved = augment.plain(blobs(points[:, 0]), points, size=SIZE, share=SHARE)
    assert images.shape == (8, 3, SIZE, SIZE)
    assert (centroids(images) - moved[:, 0]).abs().max() < 0.03


def test_a_plain_crop_cuts_out_the_middle():
    # The crop's left edge, -0.5 px, is the edge of the middle `share` of the cached picture.
    low = (1 - SHARE) / 2 * SIDE - 0.5
    corners = torch.tensor([[[low, low], [low + SHARE * SIDE, low]]], dtype=torch.float64)
    faces = random_faces(1)
    _, moved = augment.plain(faces, corners, size=SIZE, share=SHARE)
    assert moved.flatten().tolist() == pytest.approx([-0.5, -0.5, SIZE - 0.5, -0.5], abs=1e-5)


def test_a_crop_of_the_whole_picture_at_its_own_size_is_the_picture():
    faces, points = random_faces(), random_points()
    images, moved = augment.plain(faces, points, size=SIDE, share=1.0)
    torch.testing.assert_close(images, faces / 255, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved, points)


def test_points_leave_and_return_exactly():
    points = random_points()
    chosen = settings(**GEOMETRY["all"])
    matrix, shift, _ = augment.random_affine(B, SIZE, SIDE, SHARE, chosen, generator())
    there = augment.to_crop(points, matrix, shift, SIZE, SIDE)
    back = augment.to_cached(there, matrix, shift, SIZE, SIDE)
    assert there.dtype == torch.float64
    assert (back - points).abs().max() < 1e-9
    assert (there - points).abs().max() > 1


def test_draws_stay_within_their_settings():
    chosen = settings(rotation=30.0, scale=0.25, shift=0.1)
    matrix, shift, _ = augment.random_affine(500, SIZE, SIDE, SHARE, chosen, generator())
    zoom = torch.linalg.det(matrix).sqrt() / (SIDE * SHARE / SIZE)
    angle = torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert 0.8 - 1e-5 <= zoom.min() < 0.81 and 1.24 < zoom.max() <= 1.25 + 1e-5
    assert -30.01 < angle.min() < -28 and 28 < angle.max() < 30.01
    reach = 0.1 * SIDE * SHARE
    assert 0.97 * reach < shift.abs().max() <= reach
    assert abs(angle.mean()) < 3 and abs(zoom.log().mean()) < 0.03


def test_the_share_of_mirrored_faces_is_as_set():
    _, _, mirrored = augment.random_affine(
        2000, SIZE, SIDE, SHARE, settings(mirror=0.3), generator()
    )
    assert mirrored.double().mean().item() == pytest.approx(0.3, abs=0.04)


def test_settings_of_zero_give_the_plain_crop():
    faces, points = random_faces(), random_points()
    images, moved = augmented(faces, points, NONE)
    plain_images, plain_points = augment.plain(faces, points, size=SIZE, share=SHARE)
    torch.testing.assert_close(images, plain_images, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved, plain_points, atol=1e-9, rtol=0)


def test_mirroring_flips_the_picture_and_renames_the_landmarks():
    faces, points = random_faces(), random_points()
    images, moved = augmented(faces, points, settings(mirror=1.0))
    straight, plain_points = augment.plain(faces, points, size=SIZE, share=SHARE)
    torch.testing.assert_close(images, straight.flip(-1), atol=1e-4, rtol=0)
    expected = plain_points[:, list(ORDER)].clone()
    expected[..., 0] = SIZE - 1 - expected[..., 0]
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_mirroring_twice_changes_nothing():
    points = random_points(landmarks=68)
    every = torch.ones(B, dtype=torch.bool)
    once = augment.mirror_points(points, every, IBUG68.mirror)
    assert not torch.equal(once, points)
    assert torch.equal(augment.mirror_points(once, every, IBUG68.mirror), points)


def test_only_mirrored_faces_are_renamed():
    points = random_points()
    moved = augment.mirror_points(points, torch.tensor([False, True, False]), ORDER)
    assert torch.equal(moved[[0, 2]], points[[0, 2]])
    assert torch.equal(moved[1], points[1, list(ORDER)])


def test_left_landmarks_stay_left_of_right_ones_in_every_mirrored_face():
    points = random_points(landmarks=5)
    points[:, 0, 0], points[:, 1, 0] = 30.0, 60.0
    _, moved = augmented(random_faces(), points, settings(mirror=1.0))
    assert (moved[:, 0, 0] < moved[:, 1, 0]).all()


def test_the_picture_repeats_its_edge_outside():
    faces = torch.full((2, 3, SIDE, SIDE), 100, dtype=torch.uint8)
    images, _ = augmented(faces, random_points(2), settings(shift=0.5, scale=0.5, rotation=45))
    torch.testing.assert_close(images, torch.full_like(images, 100 / 255))


# --- colour and occlusion ---------------------------------------------------------------------


def test_colours_stay_finite_and_near_the_scale():
    chosen = settings(brightness=0.15, contrast=0.3, color=0.15, gray=0.1)
    images, _ = augmented(random_faces(), random_points(), chosen)
    assert images.dtype == torch.float32 and images.isfinite().all()
    assert images.min() > -1 and images.max() < 2


def test_every_gray_picture_is_gray_where_no_cast_is_drawn():
    images = torch.rand(4, 3, 8, 8)
    gray = augment.recolor(images, settings(gray=1.0, contrast=0.3, brightness=0.1), generator())
    torch.testing.assert_close(gray[:, 0], gray[:, 1])
    torch.testing.assert_close(gray[:, 0], gray[:, 2])
    assert gray.std() > 0.05


def test_brightness_shifts_and_contrast_stretches_about_the_mean():
    images = torch.rand(6, 3, 8, 8)
    shifted = augment.recolor(images, settings(brightness=0.2), generator()) - images
    torch.testing.assert_close(shifted, shifted.mean((1, 2, 3), keepdim=True).expand_as(shifted))
    assert 0.01 < shifted.abs().max() <= 0.2 + 1e-5
    stretched = augment.recolor(images, settings(contrast=0.3), generator())
    torch.testing.assert_close(stretched.mean((1, 2, 3)), images.mean((1, 2, 3)))
    gain = stretched.std((1, 2, 3)) / images.std((1, 2, 3))
    assert gain.min() >= math.exp(-0.3) - 1e-4 and gain.max() <= math.exp(0.3) + 1e-4
    assert gain.std() > 0.01


def test_the_cast_scales_each_channel_by_its_own_factor():
    images = torch.rand(6, 3, 8, 8)
    cast = augment.recolor(images, settings(color=0.15), generator()).std((2, 3))
    factor = cast / images.std((2, 3))
    assert factor.min() >= 0.85 - 1e-4 and factor.max() <= 1.15 + 1e-4
    assert (factor[:, 0] - factor[:, 1]).abs().min() > 1e-4


def changed_pixels(share, count=600):
    images = torch.full((count, 3, 40, 40), 5.0)
    covered = augment.occlude(images, settings(occlusion=share), generator())
    return (covered != images).all(1)  # (B, y, x)


def test_occlusion_covers_the_stated_share_of_the_faces():
    hit = changed_pixels(0.3).flatten(1).any(1).double().mean().item()
    assert hit == pytest.approx(0.3, abs=0.06)


def test_an_occluder_is_one_rectangle_of_at_most_half_the_side():
    patch = changed_pixels(1.0)
    rows, columns = patch.any(2), patch.any(1)
    assert torch.equal(patch, rows[:, :, None] & columns[:, None, :])
    assert rows.sum(1).max() in (19, 20, 21) and columns.sum(1).max() in (19, 20, 21)
    inner = ~(patch[:, 0].any(1) | patch[:, -1].any(1))  # not cut off by the upper or lower border
    assert rows.sum(1)[inner].min() >= 3


def test_no_occlusion_changes_nothing():
    assert not changed_pixels(0.0).any()


# --- the batch --------------------------------------------------------------------------------


def test_the_same_generator_state_gives_the_same_batch_and_another_does_not():
    faces, points = random_faces(), random_points()
    one, two, three = (augmented(faces, points, Augmentation(), seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], three[0]) and not torch.equal(one[1], three[1])


def test_torch_s_global_generator_is_neither_read_nor_moved():
    faces, points = random_faces(), random_points()
    torch.manual_seed(1)
    one = augmented(faces, points, Augmentation())
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(augmented(faces, points, Augmentation())[0], one[0])


def test_faces_of_a_batch_are_varied_each_on_its_own():
    faces, points = random_faces(1).repeat(4, 1, 1, 1), random_points(1).repeat(4, 1, 1)
    images, moved = augmented(faces, points, Augmentation())
    for i in range(3):
        assert not torch.equal(images[i], images[3]) and not torch.equal(moved[i], moved[3])


def test_a_batch_of_one_face_works():
    images, moved = augmented(random_faces(1), random_points(1), Augmentation())
    assert images.shape == (1, 3, SIZE, SIZE) and moved.shape == (1, 5, 2)


def test_faces_and_points_are_unchanged_after_the_call():
    faces, points = random_faces(), random_points()
    kept = faces.clone(), points.clone()
    augmented(faces, points, Augmentation(mirror=1.0))
    augment.plain(faces, points, size=SIZE, share=SHARE)
    assert torch.equal(faces, kept[0]) and torch.equal(points, kept[1])
