import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
import torch

from study import config, device as devices, heatmaps, tracking, training
from study.datasets import crops as crop_cache
from study.landmarks import IBUG68
from study.models import STA, smoothing

SIZE, SIDE, SHARE = 16, 40, 0.625  # F, S px; the crop covers 25 of the 40 cached px
LANDMARKS = 68
LENGTHS = (7, 4, 5)  # frames of three videos
DEVICE = devices.Device("cpu")
DETECTOR = {
    **{"model": "detector1d", "size": SIZE, "length": 12, "channels": 8, "depth": 1},
    **{"width": 8, "hidden": 8, "columns": 2},
}


def tracker_config(detector=DETECTOR, **values):
    inside = config.fill(config.TrainingConfig, detector, "test")
    model = "tracker1d" if inside.model == "detector1d" else "tracker2d"
    values = {"model": model, "hidden": 8, "frames": 3, "epochs": 2, "batch": 2} | values
    return config.TrackerConfig(detector=inside, **values)


def face(rng):
    """68 points around the middle of the cached picture, with eye corners that are apart."""
    points = rng.uniform(-6, 6, (LANDMARKS, 2))
    points[36], points[45] = (-5, -2), (5, -2)
    return points + (SIDE - 1) / 2


def videos_of(lengths=LENGTHS, seed=0, shift=0.0, scale=1.25):
    """`tracking.Videos` of noise; each frame is cut 2 px of the image further right."""
    rng = np.random.default_rng(seed)
    count = sum(lengths)
    names = np.repeat([f"{n:03d}" for n in range(len(lengths))], lengths)
    frames = np.concatenate([np.arange(1, n + 1) for n in lengths])
    table = pd.DataFrame({"video": names, "frame": frames, "split": "train", "subset": "train"})
    shape = np.stack([face(rng) for _ in lengths])
    points = np.repeat(shape, lengths, axis=0)
    affine = np.stack([np.ones(count), 2.0 * frames, np.zeros(count)], axis=1)
    faces = rng.integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
    made = crop_cache.Crops(faces, points + shift, affine, table, {})
    first = np.cumsum([0, *lengths])
    rows = tuple(np.arange(a, b) for a, b in zip(first[:-1], first[1:], strict=True))
    return tracking.Videos(made, rows, share=SHARE, scale=scale, order=IBUG68.mirror)


class Oracle(torch.nn.Module):
    """A tracker that knows where a fixed landmark set is in the cached picture's middle crop."""

    def __init__(self, points, config):
        super().__init__()
        self.points, self.config, self.seen = points, config, []

    def step(self, images, state=None):
        count = torch.zeros(len(images)) if state is None else state[0]
        self.seen.append((len(images), count.tolist()))
        points = self.points[: len(images)]
        made = heatmaps.marginal_targets(points, self.config.size, self.config.length, 2.0)
        return made, (count + 1,)


def in_crop(videos):
    """The true points of each video's frames in px of the plain crop."""
    matrix = SIDE * SHARE / SIZE
    first = videos.points(np.array([rows[0] for rows in videos.rows]))
    return (first - (SIDE - 1) / 2) / matrix + (SIZE - 1) / 2


# --- clips --------------------------------------------------------------------------------------


def test_windows_lie_inside_their_videos_and_are_as_many_as_fit():
    found = tracking.windows((7, 2, 9, 3), 3, torch.Generator().manual_seed(0))
    counts = [sum(video == n for video, _ in found) for n in range(4)]
    assert counts == [2, 0, 3, 1]
    assert all(0 <= first <= (7, 2, 9, 3)[video] - 3 for video, first in found)


def test_windows_begin_anywhere_and_come_in_random_order():
    draws = [
        tracking.windows((9, 9), 3, torch.Generator().manual_seed(seed)) for seed in range(40)
    ]
    assert {first for draw in draws for _, first in draw} == set(range(7))
    assert len({tuple(video for video, _ in draw) for draw in draws}) > 3


def test_an_epoch_has_the_clips_and_steps_that_it_says():
    videos, settings = videos_of(), tracker_config()
    task = tracking.ClipTask(settings, training.build_model(settings.detector, 68), videos, videos)
    assert (task.samples, task.steps) == (3 * (2 + 1 + 1), 2)
    batches = list(task.batches(torch.Generator().manual_seed(0)))
    assert len(batches) == task.steps
    assert [tuple(part.shape) for part in batches[0]] == [(2, 3, 3, 16, 16), (2, 3, 68, 2)]


def test_videos_shorter_than_a_clip_are_named_as_the_cause():
    settings = tracker_config(frames=9)
    task = tracking.ClipTask(settings, None, videos_of(), videos_of())
    with pytest.raises(training.TrainingError, match="no training video has 9 frames; .* has 7"):
        task.build()


# --- the cache of heatmaps ----------------------------------------------------------------------


def test_cached_heatmaps_are_those_of_the_detector_on_the_same_views(tmp_path):
    videos, settings = videos_of(), tracker_config(variants=3)
    torch.manual_seed(1)
    detector = training.build_model(settings.detector, LANDMARKS).eval()
    maps = tracking.detect(detector, videos, settings, DEVICE, tmp_path, batch=3)
    assert maps.e_x.shape == (3, 16, 68, 12) and maps.e_x.dtype == np.float16
    assert maps.first == (0, 7, 11) and maps.lengths == LENGTHS
    affines = tracking.plain_affines(videos, SIZE)
    images, points = tracking.view(videos, 1, videos.rows[1], affines, SIZE)
    with torch.no_grad():
        e_x, e_y = detector(images)
    assert np.allclose(maps.e_x[0, 7:11], e_x.numpy(), atol=2e-3)
    assert np.allclose(maps.e_y[0, 7:11], e_y.numpy(), atol=2e-3)
    assert np.allclose(maps.points[0, 7:11], points.numpy(), atol=1e-4)
    assert np.abs(maps.points[1] - maps.points[0]).max() > 0.5  # varied


def test_a_batch_of_cached_clips_is_cut_from_consecutive_frames(tmp_path):
    videos, settings = videos_of(), tracker_config(batch=4)
    detector = training.build_model(settings.detector, LANDMARKS)
    maps = tracking.detect(detector, videos, settings, DEVICE, tmp_path)
    task = tracking.ClipTask(settings, detector, videos, videos, maps)
    (e_x, e_y, points), *rest = task.batches(torch.Generator().manual_seed(0))
    assert e_x.shape == e_y.shape == (4, 3, 68, 12) and points.shape == (4, 3, 68, 2)
    assert not rest
    starts = [np.flatnonzero((maps.e_x == clip[0].numpy()).all((2, 3)))[0] for clip in e_x]
    flat = maps.e_x.reshape(-1, 68, 12)
    for clip, start in zip(e_x, starts, strict=True):
        assert np.array_equal(flat[start : start + 3], clip.numpy())


def test_a_view_is_one_map_for_a_whole_video_and_takes_points_along():
    videos, settings = videos_of(), tracker_config(mirror=0.0)
    affines = tracking.clip_affine(videos, settings, torch.Generator().manual_seed(3))
    _, points = tracking.view(videos, 0, videos.rows[0], affines, SIZE)
    assert points.shape == (7, 68, 2)
    assert (points - points[:1]).abs().max() < 1e-9  # the face does not move in its crops
    _, plain = tracking.view(videos, 0, videos.rows[0], tracking.plain_affines(videos, SIZE), SIZE)
    sides = [(p[0] - p[0].mean(0)).norm() for p in (points, plain)]
    assert 1 / 1.11 < sides[0] / sides[1] < 1.11  # scale 0.1 either way
    torch.testing.assert_close(plain[0], in_crop(videos)[0])


# --- following ----------------------------------------------------------------------------------


def test_following_maps_predictions_back_to_the_cached_picture():
    videos, settings = videos_of(), tracker_config()
    oracle = Oracle(in_crop(videos)[[0, 2, 1]], settings)  # longest first
    found = tracking.follow(oracle, videos, settings, DEVICE, decoders=("argmax", "taylor"))
    truth = videos.points(videos.all_rows)
    half_a_bin = SIZE / 12 / 2 * SIDE * SHARE / SIZE  # cached px
    assert found["argmax"].shape == truth.shape
    assert (found["argmax"] - truth).abs().max() <= half_a_bin + 1e-4
    assert (found["taylor"] - truth).abs().max() < 0.2 * half_a_bin


def test_each_video_gets_its_own_state_and_ends_with_its_frames():
    videos, settings = videos_of(), tracker_config()
    oracle = Oracle(in_crop(videos)[[0, 2, 1]], settings)
    tracking.follow(oracle, videos, settings, DEVICE)
    assert [count for count, _ in oracle.seen] == [3, 3, 3, 3, 2, 1, 1]
    assert oracle.seen[0][1] == [0, 0, 0] and oracle.seen[-1][1] == [6]


def test_videos_side_by_side_are_followed_as_they_are_alone():
    videos, settings = videos_of(), tracker_config()
    torch.manual_seed(0)
    tracker = tracking.build_tracker(settings, training.build_model(settings.detector, LANDMARKS))
    torch.nn.init.normal_(tracker.cnn4_x.deconvolve.weight, std=0.3)
    for rule in tracking.RULES:
        together = tracking.follow(tracker, videos, settings, DEVICE, rule=rule)["argmax"]
        alone = tracking.follow(tracker, videos, settings, DEVICE, rule=rule, batch=1)["argmax"]
        torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_a_square_by_landmarks_is_the_one_that_crops_are_cut_by():
    points = torch.tensor([[[10.0, 12.0], [26.0, 22.0], [18.0, 14.0]]])  # box 16 x 10, (18, 17)
    matrix, shift = tracking.square_of(points, 1.25, SIZE, SIDE)
    torch.testing.assert_close(matrix[0], torch.eye(2) * 1.25 * 16 / SIZE)
    torch.testing.assert_close(shift[0], torch.tensor([18.0, 17.0]) - 19.5)
    step, *first = crop_cache.square([10, 12, 26, 22], 1.25, SIZE)  # the same square, elsewhere
    assert step == pytest.approx(matrix[0, 0, 0].item())
    corner = (SIDE - 1) / 2 + shift[0] - matrix[0, 0, 0] * (SIZE - 1) / 2
    assert corner.tolist() == pytest.approx(first)


def test_the_box_of_the_frame_before_moves_with_the_cut_of_the_frame():
    videos = videos_of()
    last = videos.points(np.array([0]))  # frame 1 of the first video
    here = tracking._moved(last, videos, [0], 1)
    # The second frame is cut 2 px of the image further right, so the same place is 2 px left.
    torch.testing.assert_close(here, last - torch.tensor([2.0, 0.0], dtype=torch.float64))


def test_the_first_frame_is_cut_by_its_true_box_and_the_next_by_the_landmarks():
    videos, settings = videos_of((3,)), tracker_config()
    cuts = []

    class Recorder(Oracle):
        def step(self, images, state=None):
            cuts.append(images.clone())
            return super().step(images, state)

    oracle = Recorder(in_crop(videos), settings)
    tracking.follow(oracle, videos, settings, DEVICE, rule="previous")
    matrix, shift = tracking.augment.crop_affine(1, SIZE, SIDE, SHARE)
    plain = tracking.augment.sample(videos.pictures(np.array([0, 1])), *(
        part.expand(2, *part.shape[1:]) for part in (matrix, shift)), SIZE)
    assert torch.equal(cuts[0], plain[:1])
    assert not torch.allclose(cuts[1], plain[1:], atol=1e-2)


class Noisy(torch.nn.Module):
    """A 2D detector of the interface that a stabiliser asks for; its maps follow the noise seen."""

    landmarks, size = LANDMARKS, SIZE

    def forward(self, images):
        spread = images.flatten(1)[:, : 2 * LANDMARKS].unflatten(1, (LANDMARKS, 2))
        points = (SIZE - 1) / 2 + 8 * (spread - 0.5)
        return heatmaps.joint_targets(points, SIZE, SIZE, 1.5)


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_a_state_of_points_goes_on_in_the_image_whatever_the_crops_do(scale):
    """Frame by frame in px of crops that move and grow, as in one go in px of the image."""
    made = videos_of()
    affine = made.crops.affine.copy()
    affine[:, 0] = scale ** (made.crops.table["frame"].to_numpy() % 2)
    videos = dataclasses.replace(made, crops=dataclasses.replace(made.crops, affine=affine))
    model = STA(Noisy(), sigma=1.5)
    law = {"r": torch.full((2 * LANDMARKS,), 1e-4), "q1": torch.full((2 * LANDMARKS,), 1e-4)}
    model.adopt(law | {"q2": 2 * law["q1"], "beta": torch.tensor(0.7)})
    settings = types.SimpleNamespace(
        size=SIZE, length=SIZE, model="sta", decoder="direct", rule="centre", target_sigma=1.5
    )

    def in_image(tracker):
        points = tracking.follow(tracker, videos, settings, DEVICE)["direct"]
        return torch.from_numpy(videos.crops.to_image(points.numpy(), videos.all_rows))

    seen, followed = in_image(tracking.Stateless(model.observe)), in_image(model)
    steady = smoothing.smoothed(smoothing.smoother_of(model), seen, LENGTHS)
    assert (steady - seen).abs().max() > 1
    torch.testing.assert_close(followed, steady, rtol=0, atol=1e-3)


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="rule 'box': there are truth, previous"):
        tracking.follow(None, videos_of(), tracker_config(), DEVICE, rule="box")


def test_a_detector_alone_is_a_tracker_without_state():
    settings = tracker_config()
    detector = training.build_model(settings.detector, LANDMARKS).eval()
    images = torch.rand(2, 3, SIZE, SIZE)
    (h_x, h_y), state = tracking.Stateless(detector).step(images)
    assert state is None
    assert all(torch.equal(a, b) for a, b in zip((h_x, h_y), detector(images), strict=True))


# --- motion -------------------------------------------------------------------------------------


def test_motion_measures_do_not_run_over_the_end_of_a_video():
    truth = torch.zeros(5, 1, 2, dtype=torch.float64)
    truth[:, 0, 0] = torch.tensor([0.0, 1, 2, 50, 51])  # videos of three and of two frames
    late = truth - torch.tensor([1.0, 0.0])
    found = tracking.motion_measures(late, truth, truth, torch.full((5,), 2.0), (3, 2))
    assert np.array_equal(found["jitter"], [np.nan, 0, np.nan, np.nan, np.nan], equal_nan=True)
    assert found["delay_way"].tolist() == [0, 0.25, 0.25, 0, 0.25]
    assert found["delay_along"].tolist() == [0, 0.25, 0.25, 0, 0.25]  # one frame late
    assert found["delay_detected"].tolist() == [0, 0, 0, 0, 0]


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", [DETECTOR, DETECTOR | {"model": "detector2d", "length": 8}])
def test_a_tracker_trains_and_goes_on_from_a_checkpoint_to_the_same_weights(detector, tmp_path):
    settings, videos = tracker_config(detector, epochs=3), videos_of()
    torch.manual_seed(5)
    inside = training.build_model(settings.detector, LANDMARKS).eval()

    def task(settings):
        maps = None
        if settings.model == "tracker1d":
            maps = tracking.detect(inside, videos, settings, DEVICE, tmp_path / "maps")
        return tracking.ClipTask(settings, inside, videos, videos, maps)

    whole, state = training.fit_task(task(settings), seed=4, report=lambda news: None)
    assert [line["epoch"] for line in state.history] == [1, 2, 3]

    class Stop(Exception):
        pass

    def stop(news):
        if news["epoch"] == 2:
            raise Stop

    file = tmp_path / "checkpoint.pt"
    with pytest.raises(Stop):
        training.fit_task(task(settings), seed=4, checkpoint=file, report=stop)
    resumed, _ = training.fit_task(task(settings), seed=4, checkpoint=file, report=lambda n: None)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    fresh = tracking.build_tracker(settings, inside).state_dict()
    changed = [n for n, value in whole.state_dict().items() if not torch.equal(value, fresh[n])]
    frozen = [name for name in changed if name.startswith("detector.")]
    assert changed and (settings.model == "tracker2d" or not frozen)


def test_another_learning_rate_is_another_training():
    settings = tracker_config()
    assert dataclasses.replace(settings, rate=1e-3) != settings
    assert settings.size == SIZE and settings.length == 12 and settings.decoder == "argmax"


# The losses of each tracker's first ten steps on given clips. A change here is another training:
# raise the model's number in training.RECIPES and add its line here.
RECIPE = {
    ("tracker1d", 2): [
        *(241.0561, 240.3776, 239.6718, 238.9434, 238.1841),
        *(237.3946, 236.5574, 235.68, 234.748, 233.747),
    ],
    ("tracker2d", 1): [
        *(213.5766, 212.7348, 211.8258, 211.015, 210.0715),
        *(209.0343, 207.9989, 206.6884, 205.0964, 202.8621),
    ],
}


@pytest.mark.parametrize("model", ["tracker1d", "tracker2d"])
def test_the_first_ten_steps_are_those_of_the_recipe(model, tmp_path):
    detector = DETECTOR if model == "tracker1d" else DETECTOR | {"model": "detector2d", "length": 8}
    settings, videos = tracker_config(detector, epochs=10, rate=1e-3), videos_of()
    torch.manual_seed(5)
    inside = training.build_model(settings.detector, LANDMARKS).eval()
    maps = None
    if model == "tracker1d":
        maps = tracking.detect(inside, videos, settings, DEVICE, tmp_path)
    task = tracking.ClipTask(settings, inside, videos, videos, maps)
    torch.manual_seed(1)
    tracker = task.build().train()
    optimizer, losses = training.make_optimizer(tracker, settings), []
    for epoch in range(5):
        for batch in task.batches(training.epoch_generator(1, epoch)):
            losses.append(task.step(tracker, optimizer, batch, DEVICE).item())
    key = model, training.RECIPES[model]
    assert key in RECIPE, f"add to RECIPE: {key}: {losses}"
    assert losses == pytest.approx(RECIPE[key], rel=3e-4)


def test_validation_on_cached_heatmaps_equals_following_the_videos(tmp_path):
    settings, videos = tracker_config(), videos_of()
    torch.manual_seed(5)
    inside = training.build_model(settings.detector, LANDMARKS).eval()
    plain = dataclasses.replace(settings, variants=1)
    maps = tracking.detect(inside, videos, plain, DEVICE, tmp_path)
    tracker = tracking.build_tracker(settings, inside)
    torch.nn.init.normal_(tracker.cnn4_x.deconvolve.weight, std=0.3)
    names = ("argmax", "local")
    cached = tracking.validate_cached(tracker, maps, settings, DEVICE, names)
    followed = tracking.validate(tracker, videos, settings, DEVICE, names)
    assert cached == pytest.approx(followed, rel=0.02)  # the cache is float16
    assert len({len(rows) for rows in videos.rows}) > 1  # of unequal lengths


def test_heatmaps_are_summed_as_equation_13_says_and_nothing_is_learnt():
    torch.manual_seed(5)
    inside = training.build_model(tracker_config().detector, LANDMARKS).eval()
    images = torch.rand(3, 2, 3, SIZE, SIZE)  # (T, B, 3, F, F)
    model, state = tracking.Averaging(inside, 0.5), None
    with torch.no_grad():
        e = [inside(frame) for frame in images]
        for frame in images:
            summed, state = model.step(frame, state)
    for axis in range(2):
        wanted = e[2][axis] + 0.5 * e[1][axis] + 0.25 * e[0][axis]
        torch.testing.assert_close(summed[axis], wanted)
    assert list(model.parameters()) == list(inside.parameters())
