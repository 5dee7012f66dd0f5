import dataclasses

import moving_blob as blob
import numpy as np
import pytest
import torch
from PIL import Image

from study import weights
from study.config import TrainingConfig
from study.datasets import augment, crops
from study.marking import faces, follower
from study.marking.follower import Follower


def followed(boxes, *, tracker=None, find=blob.find, **options):
    """What a follower makes of frames with a bright box each (None: without)."""
    one = Follower(tracker or blob.Tracker(), blob.TRACKER_META, blob.CPU, find=find, **options)
    return [one.step(blob.frame(box)) for box in boxes], one


def path(count, start=(10, 12), step=(2, 1), side=24):
    """Boxes that move on by a step a frame."""
    return [blob.square(start[0] + t * step[0], start[1] + t * step[1], side) for t in range(count)]


def never(*_):
    raise AssertionError("the face detector was asked")


def only_once():
    """A double of the face detector that fails when it is asked a second time."""
    asked = []

    def find(image, fine=True):
        asked.append(fine)
        return blob.find(image) if len(asked) == 1 else never()

    return find


# --- crops of a stream ------------------------------------------------------------------------

META = dataclasses.replace(blob.META, config=TrainingConfig("detector1d", size=64, length=64))


def picture(height=300, width=420):
    """Smooth random colours with a few edges, (H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 12, width // 12, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    image[80:140, 150:153] = 255
    image[200:202, :] = 0
    return image


def trained_on(image, box, meta=META, context=2.0):
    """The crop that training would see: cached by Lanczos, then sampled."""
    size = meta.config.size
    side = crops.resolution(size, meta.scale, context, meta.oversample)
    cached = crops.cut(Image.fromarray(image), crops.square(box, context, side), side)
    pictures = torch.from_numpy(cached.transpose(2, 0, 1).copy())[None]
    images, _ = augment.plain(
        pictures, torch.zeros(1, 1, 2), size=size, share=meta.scale / context
    )
    return images


@pytest.mark.parametrize(
    "box",
    [
        (100.3, 90.7, 131.0, 118.0),  # enlarged
        (140.0, 60.5, 230.2, 171.3),
        (90.0, 10.0, 330.0, 262.4),  # averaged in blocks first
        (-20.5, -31.0, 60.0, 55.0),  # over the corner
        (330.0, 150.0, 470.0, 320.0),
    ],
)
def test_a_streams_crop_is_that_of_training(box):
    image = picture()
    streamed, _ = follower.look(image, box, META)
    assert streamed.shape == (1, 3, 64, 64)
    difference = (streamed - trained_on(image, box)).abs()
    assert difference.mean() < 0.004 and difference.max() < 0.15


def test_a_crop_that_is_much_smaller_than_the_face_is_that_of_training():
    image = np.array(Image.fromarray(picture()).resize((1680, 1200), Image.Resampling.BICUBIC))
    box = (302.2, 151.0, 1153.9, 980.0)  # 13 px for each of the cached crop's
    difference = (follower.look(image, box, META)[0] - trained_on(image, box)).abs()
    assert difference.mean() < 0.004


@pytest.mark.parametrize("side", [20.0, 55.0, 130.0, 260.0])
def test_a_crop_has_no_shift_of_a_fraction_of_a_pixel(side):
    """A ramp comes back as the places that the way back to the image says."""
    height, width, center = 400, 420, np.array([200.4, 190.8])
    steep = 97.3 / side  # grey levels a px; an odd number, so that their rounding averages out
    places = np.stack(np.mgrid[:height, :width][::-1], axis=-1)  # (x, y) of each px
    ramp = np.round(np.clip(127.2 + (places - center) * steep, 0, 255))
    picture = np.concatenate([ramp, 0 * ramp[..., :1]], axis=-1)
    box = np.concatenate([center - side / 2, center + side / 2])
    inner = torch.arange(8, 56, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(inner, inner, indexing="xy"), dim=-1).reshape(1, -1, 2)

    def seen(picture):
        crop, to_image = follower.look(picture.astype(np.uint8), box, META)
        values = crop[0, :2, 8:56, 8:56].permute(1, 2, 0).reshape(-1, 2).double().numpy()
        return 255 * values, to_image(points)  # grey levels; (48 * 48, 2) px

    (upwards, expected), (downwards, _) = seen(picture), seen(255 - picture)
    found = center + ((upwards + 255 - downwards) / 2 - 127.2) / steep  # rounding cancels
    shift = (found - expected) / (1.25 * side / 64)  # px of the crop
    assert np.abs(shift.mean(axis=0)).max() < 0.06
    assert np.abs(shift).max() < 0.6  # a grey level is half a px


def test_the_way_back_by_hand():
    """The crop's corners are those of the square of 1.25 times the box."""
    _, to_image = follower.look(picture(), (100.0, 50.0, 180.0, 130.0), META)
    corners = torch.tensor([[[-0.5, -0.5], [63.5, 63.5], [31.5, 31.5]]])
    assert np.allclose(to_image(corners), [[90, 40], [190, 140], [140, 90]])


def test_a_crop_outside_the_picture_is_named():
    with pytest.raises(ValueError, match="outside the image"):
        follower.look(picture(), (900.0, 50.0, 980.0, 130.0), META)


# --- following --------------------------------------------------------------------------------


def test_landmarks_are_where_the_face_is_in_every_frame():
    boxes = path(9)
    found, _ = followed(boxes, find=only_once())
    for box, one in zip(boxes, found, strict=True):
        assert one.points.shape == (68, 2)
        # Half a bin, and the crop's pixel grid, in px of the image.
        assert np.allclose(follower.tight_box(one.points), box, atol=1.2)
    assert [one.reset for one in found] == ["start", *[""] * 8]


def test_a_face_that_grows_is_followed():
    boxes = [blob.square(20 - t, 20 - t, 18 + 2 * t) for t in range(12)]
    found, _ = followed(boxes, find=only_once())
    sides = [np.ptp(one.points, axis=0).max() for one in found]
    assert np.allclose(sides, [box[2] - box[0] for box in boxes], atol=1.5)


def test_the_past_grows_from_frame_to_frame_and_the_detectors_box_is_looked_at_twice():
    tracker = blob.Tracker()
    followed(path(5), tracker=tracker)
    assert tracker.pasts == [0, 1, 2, 3, 4]


def test_a_face_that_leaves_and_returns_starts_anew():
    tracker = blob.Tracker()
    found, _ = followed([*path(3), None, None, *path(2, start=(60, 30))], tracker=tracker)
    assert [one.points is not None for one in found] == [1, 1, 1, 0, 0, 1, 1]
    assert [one.reset for one in found] == ["start", "", "", "lost", "", "returned", ""]
    assert [one.confidence is None for one in found] == [0, 0, 0, 1, 1, 0, 0]
    assert tracker.pasts == [0, 1, 2, 0, 1]


def test_a_face_lost_and_found_in_the_same_frame_keeps_no_past():
    tracker = blob.Tracker()
    found, _ = followed([*path(2, start=(4, 4)), blob.square(62, 40)], tracker=tracker)
    assert found[2].reset == "lost"
    assert np.allclose(follower.tight_box(found[2].points), blob.square(62, 40), atol=1.2)
    assert tracker.pasts == [0, 1, 0]


def test_a_cut_starts_anew_though_a_face_is_at_the_same_place():
    tracker = blob.Tracker()
    one = Follower(tracker, blob.TRACKER_META, blob.CPU, find=blob.find)
    box = blob.square(30, 20)
    bright = blob.frame(box, dark=110)
    found = [one.step(picture) for picture in [*[blob.frame(box)] * 3, bright, bright]]
    assert [f.reset for f in found] == ["start", "", "", "cut", ""]
    assert tracker.pasts == [0, 1, 2, 0, 1]


def test_a_cut_to_no_face_says_cut_once():
    frames = [blob.frame(blob.square(30, 20)), blob.frame(None, dark=110), blob.frame(None)]
    one = Follower(blob.Tracker(), blob.TRACKER_META, blob.CPU, find=blob.find)
    assert [one.step(picture).reset for picture in frames] == ["start", "cut", ""]


def test_after_a_flash_the_face_is_where_it_was_though_the_face_detector_misses_it():
    one = Follower(blob.Tracker(), blob.TRACKER_META, blob.CPU, find=only_once_then_blind())
    box = blob.square(30, 20)
    found = [one.step(blob.frame(box, dark=dark)) for dark in (40, 110)]
    assert [f.reset for f in found] == ["start", "cut"]
    assert found[1].points is not None


def only_once_then_blind():
    """A double of the face detector that finds nothing from its second frame on."""
    asked = []

    def find(image, fine=True):
        asked.append(fine)
        return blob.find(image) if len(asked) == 1 else []

    return find


def test_the_place_of_a_lost_face_is_forgotten_in_time():
    gone = follower.MEMORY + 1
    boxes = [blob.square(30, 20), *[None] * gone, blob.square(30, 20)]
    found, _ = followed(boxes, find=only_once_then_blind())
    assert found[-1].points is None
    found, _ = followed([*boxes[:3], boxes[-1]], find=only_once_then_blind())
    assert found[-1].points is not None and found[-1].reset == "returned"


def test_without_a_face_small_ones_are_searched_for_now_and_then():
    asked = []

    def find(image, fine=True):
        asked.append(fine)
        return []

    followed([None] * (2 * follower.FINE_EVERY + 1), find=find)
    assert [n for n, fine in enumerate(asked) if fine] == [0, 5, 10]
    assert follower.FINE_EVERY == 5 and len(asked) == 11


def test_what_the_network_does_not_take_for_a_face_is_none():
    wrong = [faces.Box(60.0, 40.0, 90.0, 70.0, 9.0)]  # an empty corner, found as the first
    found, _ = followed([blob.square(8, 8)], find=lambda image, fine: wrong + blob.find(image))
    assert np.allclose(follower.tight_box(found[0].points), blob.square(8, 8), atol=1.2)
    found, _ = followed([None], find=lambda image, fine: wrong)
    assert found[0] == (None, None, "")


def test_a_confidence_that_is_no_number_is_no_face():
    tracker = blob.Tracker()
    tracker.detector = lambda images: tuple(h * float("nan") for h in blob.detect(images))
    found, _ = followed(path(2), tracker=tracker)
    assert found[0] == (None, None, "")


def test_the_threshold_is_a_share_of_what_is_usual():
    sure = dataclasses.replace(blob.TRACKER_META, confidence=1.0)
    for share, there in ((follower.LOST + 0.05, True), (follower.LOST - 0.05, False)):
        tracker = blob.Tracker()
        tracker.detector = lambda images, share=share: tuple(
            share * h / h.amax().clamp(min=0.1) for h in blob.detect(images)
        )
        one = Follower(tracker, sure, blob.CPU, find=blob.find)
        assert (one.step(blob.frame(blob.square(30, 20))).points is not None) == there


def test_a_bare_detector_follows_too():
    one = Follower(blob.detect, blob.META, blob.CPU, find=only_once())
    for box in path(4):
        assert np.allclose(follower.tight_box(one.step(blob.frame(box)).points), box, atol=1.2)
    assert one.state is None


def test_refined_heatmaps_give_the_landmarks():
    class Shifting(blob.Tracker):
        """Moves every landmark by three bins along x."""

        def refine(self, e_x, e_y, state=None):
            return (e_x.roll(3, dims=-1), e_y), None

    box = blob.square(30, 20)
    still, _ = followed([box])
    moved, _ = followed([box], tracker=Shifting())
    shift = (moved[0].points - still[0].points).mean(axis=0)
    # Three of 96 bins of a crop of 1.25 times the box, which is 23 px and found to about a px.
    assert shift == pytest.approx([3 / 96 * 1.25 * 23, 0], abs=0.1)


@pytest.mark.parametrize("name", ["argmax", "taylor"])
def test_the_decoder_can_be_chosen(name):
    found, one = followed(path(2), decoder=name)
    assert one.decoder == name and found[1].points is not None


def test_an_unknown_decoder_and_other_landmarks_are_named():
    with pytest.raises(follower.TrackError, match="'best' is unknown; there are argmax"):
        followed([], decoder="best")
    other = dataclasses.replace(blob.META, landmarks=19, scheme="aflw19")
    with pytest.raises(follower.TrackError, match="19 landmarks 'aflw19' do not say where"):
        Follower(blob.detect, other, blob.CPU)


def test_other_landmarks_are_looked_for_where_their_weights_say():
    place = faces.Placement(0.1, -0.05, 0.8)
    meta = dataclasses.replace(blob.META, landmarks=19, scheme="aflw19", placement=tuple(place))
    looked = []

    class Watching(Follower):
        """Remembers the boxes that it looks at, and sees no face."""

        def _detect(self, image, box):
            looked.append(box)

    box = faces.Box(20.0, 30.0, 60.0, 70.0, 1.0)
    found = Watching(blob.detect, meta, blob.CPU, find=lambda *_: [box]).step(blob.frame(None))
    assert found.points is None
    assert np.allclose(looked, [faces.tight_box(box, place)])


def test_points_are_read_by_the_rule_that_the_detector_was_trained_by():
    # F = 64: alike at L = 64; at L = 16, four px a bin, its centre is 1.5 px above its start.
    for length, lower in ((64, 0.0), (16, 1.5)):
        points = {}
        for rule in ("centre", "floor"):
            config = TrainingConfig("detector1d", size=64, length=length, rule=rule)
            meta = dataclasses.replace(blob.META, config=config)
            one = Follower(blob.detect, meta, blob.CPU, decoder="argmax")
            h = torch.eye(length)[torch.arange(68) % length][None]
            points[rule] = one._decode((h, h))
        assert points["centre"][0, 3].tolist() == [3.5 * 64 / length - 0.5] * 2
        expected = points["centre"] - lower
        torch.testing.assert_close(points["floor"], expected, atol=1e-5, rtol=0)


def test_the_real_networks_step_equals_the_followers():
    """One look and one refinement in the follower are `Tracker1D.step`."""
    config = TrainingConfig("detector1d", size=32, length=24, channels=8, depth=1)
    meta = weights.Meta("tracker1d", config, 68, confidence=1e-9, tracker={"lam": 0.5, "hidden": 6})
    model = weights._build(meta).eval()
    for part in model.parameters():
        part.data += 0.03 * torch.randn_like(part)
    model.detector.cnn2_x.deconvolve.bias.data += 1.0  # sure of everything
    model.detector.cnn2_y.deconvolve.bias.data += 1.0
    image, box = blob.frame(blob.square(30, 20)), np.array([30.0, 20.0, 53.0, 43.0])
    one = Follower(model, meta, blob.Device(), decoder="local")
    one.scene.cuts_to(image)
    one.box, one.state = box, tuple(torch.rand(1, 6, 68, 8) for _ in "xy")
    images, to_image = follower.look(image, box, meta)
    with torch.inference_mode():
        heatmaps, state = model.step(images, one.state)
        expected = to_image(one._decode(heatmaps))
        seen = one._refine(one._detect(image, box), one.state, image.shape)
    assert np.allclose(seen.points, expected, atol=1e-3)
    for mine, theirs in zip(seen.state, state, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_frame_is_not_written_into():
    image = blob.frame(blob.square(30, 20))
    kept = image.copy()
    Follower(blob.Tracker(), blob.TRACKER_META, blob.CPU, find=blob.find).step(image)
    assert np.array_equal(image, kept)


# --- rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "difference, usual, cut",
    [
        (0.17, None, True),
        (0.15, None, False),
        (0.17, 0.1, True),  # in a wild scene too
        (0.15, 0.02, True),
        (0.09, 0.02, False),  # not five times the usual
        (0.04, 0.001, False),  # sudden, but small
    ],
)
def test_when_a_difference_is_a_cut(difference, usual, cut):
    assert follower.is_cut(difference, usual) == cut


def test_the_first_frame_is_no_cut_and_a_scene_learns_its_motion():
    scene = follower.Scene()
    levels = [100, 102, 104, 106, 130, 132]  # 24 of 255 is 0.09: sudden
    assert [scene.cuts_to(blob.frame(None, dark=n)) for n in levels] == [0, 0, 0, 0, 1, 0]
    scene = follower.Scene()
    assert not any(scene.cuts_to(blob.frame(None, dark=n)) for n in (40, 60, 80, 104, 128))


@pytest.mark.parametrize(
    "box, possible",
    [
        ((10, 10, 40, 50), True),
        ((-30, 10, 28, 50), False),  # centre left of the picture
        ((10, 10, 16, 17), False),  # 7 px
        ((-10, -20, 90, 60), False),  # longer than the picture
        ((float("nan"), 0, 20, 20), False),
    ],
)
def test_which_boxes_can_be_a_face(box, possible):
    assert follower.can_be_face(np.array(box, dtype=float), (72, 96, 3)) == possible


@pytest.mark.parametrize(
    "after, possible",
    [
        ((0, 0, 40, 30), True),
        ((19, 0, 59, 40), True),
        ((21, 0, 61, 40), False),  # more than half a side away
        ((-12, -12, 53, 53), False),  # 1.625 times as large
        ((9, 9, 32, 32), False),
    ],
)
def test_which_boxes_can_follow(after, possible):
    before = np.array([0.0, 0.0, 40.0, 40.0])
    assert follower.can_follow(before, np.array(after, dtype=float)) == possible


def test_the_clock_sums_what_a_stage_takes_errors_included():
    clock = follower.Clock()
    with clock.on("finding"):
        pass
    with pytest.raises(KeyError), clock.on("finding"):
        raise KeyError
    assert set(clock.seconds) == {"finding"} and clock.seconds["finding"] > 0
