"""Trackers over videos: clips to train on, the loop over frames, what it predicts."""

from dataclasses import dataclass

import numpy as np
import torch

from study import metrics, training
from study.datasets import augment, crops
from study.models import TRACKERS
from study.models.objectives import heatmap_loss
from study.models.tracker import recur

RULES = ("truth", "previous")  # whose box a frame is cropped by


@dataclass(frozen=True)
class Videos:
    """The frames of some videos, as cached.

    Attributes:
        crops: `datasets.crops.Crops` of all frames, R of them.
        rows: for each video, its rows in the order of its frames.
        share: of the cached side that a crop covers.
        scale: side of a crop in longer sides of the landmarks' tight box.
        order: the scheme's mirror order.
    """

    crops: crops.Crops
    rows: tuple
    share: float
    scale: float
    order: tuple

    @property
    def side(self):
        """S, px of the cached pictures."""
        return self.crops.faces.shape[-1]

    @property
    def all_rows(self):
        """The rows of all videos, one after the other."""
        return np.concatenate(self.rows)

    def pictures(self, rows):
        """(n, 3, S, S) uint8 of some rows, read from the memory map."""
        return torch.from_numpy(np.ascontiguousarray(self.crops.faces[rows]))

    def points(self, rows):
        """(n, N, 2) float64 cached px of some rows."""
        return torch.from_numpy(np.ascontiguousarray(self.crops.points[rows]))


# --- clips ------------------------------------------------------------------------------------


def windows(lengths, frames, generator):
    """Clips of consecutive frames at random places of the videos, in random order.

    Args:
        lengths: frames of each video.
        frames: T.
        generator: torch generator.

    Returns:
        list of (video, first frame): length // T of each video, so none of one that is shorter.
    """
    found = [
        (video, int(torch.randint(length - frames + 1, (1,), generator=generator)))
        for video, length in enumerate(lengths)
        for _ in range(length // frames)
    ]
    order = torch.randperm(len(found), generator=generator).tolist()
    return [found[i] for i in order]


def clip_affine(videos, config, generator):
    """One augmented view of each video: matrices (V, 2, 2), shifts (V, 2) and mirrored (V,).

    The view stays the same through a video, so that its motion stays smooth.
    """
    settings = augment.Augmentation(
        rotation=config.rotation, scale=config.scale, shift=0.02, mirror=config.mirror
    )
    count = len(videos.rows)
    return augment.random_affine(
        count, config.size, videos.side, videos.share, settings, generator
    )


def view(videos, video, rows, affines, size):
    """Crops (n, 3, F, F) and points (n, N, 2) px of the crop, of some rows of one video."""
    matrix, shift, mirrored = (
        part[video].expand(len(rows), *part.shape[1:]) for part in affines
    )
    images = augment.sample(videos.pictures(rows), matrix, shift, size)
    points = augment.to_crop(videos.points(rows), matrix, shift, size, videos.side)
    return images, augment.mirror_points(points, mirrored, videos.order)


def pass_before(images, rate, generator):
    """Rectangles of noise that pass before the face of one video, some frames each.

    A detector has learnt its training faces by heart, and hardly fails on their videos unless
    something hides them; a tracker learns from frames on which its detector fails.

    Args:
        images: (T, 3, F, F) frames of one video, in order.
        rate: rectangles in 25 frames, at most one more or less.
        generator: torch generator.

    Returns:
        (T, 3, F, F); `images` itself is not written into.
    """
    frames, size = len(images), images.shape[-1]
    pixels, times = torch.arange(size), torch.arange(frames)
    count = int(rate * frames / 25 + torch.rand((), generator=generator).item())
    for _ in range(count):
        draw = torch.rand(8, generator=generator)
        middle, length = draw[0] * frames, 4 + 12 * draw[1]  # frames
        angle, half = 2 * torch.pi * draw[2], (0.08 + 0.2 * draw[3:5]) * size  # (2,) px
        along = 2 * (times - middle) / length  # -1 where it enters, 1 where it leaves
        way = torch.stack([angle.cos(), angle.sin()]) * 0.7 * size
        center = (0.3 + 0.4 * draw[5:7]) * size + along[:, None] * way  # (T, 2) px
        inside = (pixels - center[..., None]).abs() <= half[:, None]  # (T, 2, F)
        patch = inside[:, 1, :, None] & inside[:, 0, None, :] & (along.abs() <= 1)[:, None, None]
        paint = torch.rand(3, 1, 1, generator=generator)
        paint = paint + 0.15 * torch.randn(3, size, size, generator=generator)
        images = torch.where(patch[:, None], paint, images)
    return images


def plain_affines(videos, size):
    """`clip_affine` without any augmentation."""
    count = len(videos.rows)
    matrix, shift = augment.crop_affine(count, size, videos.side, videos.share)
    return matrix, shift, torch.zeros(count, dtype=torch.bool)


def _views(videos, config):
    """The affines of all versions of the videos, the plain one first."""
    generator = torch.Generator().manual_seed(0)  # one cache serves all seeds
    more = (clip_affine(videos, config, generator) for _ in range(config.variants - 1))
    return [plain_affines(videos, config.size), *more]


def versions(videos, config):
    """What each version of the videos shows, the plain one first.

    Yields:
        an iterable of images (T, 3, F, F) and points (T, N, 2) px of the crop, one a video.
    """
    hidden = torch.Generator().manual_seed(1)
    for version, affines in enumerate(_views(videos, config)):
        yield _shown(videos, config, affines, hidden if version else None)


def _shown(videos, config, affines, hidden):
    for video, rows in enumerate(videos.rows):
        images, points = view(videos, video, rows, affines, config.size)
        yield images if hidden is None else pass_before(images, config.passing, hidden), points


# --- the detector's heatmaps, cached ------------------------------------------------------------


@dataclass(frozen=True)
class Heatmaps:
    """What a frozen detector makes of the training videos, in each of their versions.

    Attributes:
        e_x, e_y: (versions, R, N, L) float16, the detected heatmaps E_t, videos one after the
            other.
        points: (versions, R, N, 2) float32 px of the crop.
        first: for each video, its first of the R rows.
        lengths: frames of each video.
    """

    e_x: np.ndarray
    e_y: np.ndarray
    points: np.ndarray
    first: tuple
    lengths: tuple


@torch.inference_mode()
def detect(detector, videos, config, device, folder, batch=64):
    """The detector's heatmaps of all versions of the videos, in memory-mapped files.

    Args:
        detector: a trained `Detector1D`.
        videos: `Videos` to train on.
        config: the `TrackerConfig`.
        device: a `Device`.
        folder: where the files go; files of an interrupted or another call are overwritten.

    Returns:
        Heatmaps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    detector = device.place(detector).eval()
    lengths = tuple(len(rows) for rows in videos.rows)
    landmarks = videos.crops.points.shape[1]
    shape = (config.variants, sum(lengths), landmarks, config.length)
    maps = [
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)
        for name in ("x", "y")
    ]
    points = np.empty((*shape[:3], 2), dtype=np.float32)
    first = tuple(int(n) for n in np.cumsum([0, *lengths])[:-1])
    for version, views in enumerate(versions(videos, config)):
        for video, (images, there) in enumerate(views):
            where = (version, slice(first[video], first[video] + lengths[video]))
            points[where] = there.numpy()
            for part in torch.arange(lengths[video]).split(batch):
                some = device.move(images[part]).contiguous(memory_format=torch.channels_last)
                with device.autocast():
                    found = detector(some)
                for target, one in zip(maps, found, strict=True):
                    target[version, first[video] + part.numpy()] = one.half().cpu().numpy()
    return Heatmaps(*maps, points, first, lengths)


# --- tasks ------------------------------------------------------------------------------------


class Clips:
    """What tasks on clips have in common: `config`, `detector` and `training` are theirs."""

    @property
    def _lengths(self):
        return [len(rows) for rows in self.training.rows]

    @property
    def _clips(self):
        """Clips of an epoch."""
        return sum(length // self.config.frames for length in self._lengths)

    @property
    def samples(self):
        """Frames of an epoch."""
        return self._clips * self.config.frames

    @property
    def steps(self):
        """Batches of an epoch."""
        return -(-self._clips // self.config.batch)

    def build(self):
        """The tracker before training, around its trained detector.

        Raises:
            training.TrainingError: no training video is as long as a clip.
        """
        longest = max(self._lengths, default=0)
        if longest < self.config.frames:
            raise training.TrainingError(
                f"no training video has {self.config.frames} frames; the longest has {longest}"
            )
        return build_tracker(self.config, self.detector)


@dataclass(frozen=True)
class ClipTask(Clips):
    """The training of a tracker on clips, as `training.fit_task` asks for it.

    Attributes:
        config: a `config.TrackerConfig`.
        detector: the trained detector inside.
        training, validation: `Videos`.
        heatmaps: `Heatmaps` of the training videos; None for a 2D tracker, which sees images.
        held: `Heatmaps` of the validation videos as they are, or None as well.
    """

    config: object
    detector: torch.nn.Module
    training: Videos
    validation: Videos
    heatmaps: Heatmaps | None = None
    held: Heatmaps | None = None

    def batches(self, generator):
        """One epoch of batches of clips: (e_x, e_y, points) or, without heatmaps, (images, points).

        Cached heatmaps are of a few versions of each video; images are varied anew each epoch.
        """
        config = self.config
        clips = windows(self._lengths, config.frames, generator)
        versions = torch.randint(config.variants, (len(clips),), generator=generator).tolist()
        affines = clip_affine(self.training, config, generator) if self.heatmaps is None else None
        for part in range(0, len(clips), config.batch):
            chosen = range(part, min(part + config.batch, len(clips)))
            if self.heatmaps is None:
                picked = [(versions[i], *clips[i]) for i in chosen]
                yield self._images(picked, affines, generator)
            else:
                yield self._cached([(versions[i], *clips[i]) for i in chosen])

    def _cached(self, picked):
        maps, frames = self.heatmaps, self.config.frames
        places = [(v, maps.first[video] + start) for v, video, start in picked]
        return tuple(
            torch.from_numpy(np.stack([part[v, at : at + frames] for v, at in places]))
            for part in (maps.e_x, maps.e_y, maps.points)
        )

    def _images(self, picked, affines, generator):
        videos, frames, config = self.training, self.config.frames, self.config
        images, points = [], []
        for version, video, start in picked:
            rows = videos.rows[video][start : start + frames]
            seen, there = view(videos, video, rows, affines, config.size)
            # As many clips without anything before the face as among the cached versions.
            images.append(pass_before(seen, config.passing, generator) if version else seen)
            points.append(there)
        return torch.stack(images), torch.stack(points)

    def step(self, model, optimizer, batch, device):
        """One step of Adam on a batch of clips; returns the loss, a mean over frames (Eq. 14)."""
        *inputs, points = (device.move(part) for part in batch)
        wanted = training.targets(points.flatten(0, 1), self.config)
        inputs = [part.float() for part in inputs]
        with device.autocast():
            output = training.as_tuple(model(*inputs))
        output = tuple(h.flatten(0, 1) for h in output)
        return training.descend(heatmap_loss(output, wanted), optimizer)

    def validate(self, model, device, decoders=None):
        """Mean NRMSE over the frames of the held-out videos, by decoder."""
        if self.held is None:
            return validate(model, self.validation, self.config, device, decoders)
        return validate_cached(model, self.held, self.config, device, decoders)


def build_tracker(config, detector):
    """The tracker of a configuration around a detector; drawn from torch's global generator."""
    own = {
        "tracker1d": {"hidden": config.hidden, "lam": config.lam},
        "tracker2d": {"hidden": config.hidden},
        "gan": {"hidden": config.hidden},
        "sta": {"sigma": config.target_sigma},
        "sdm_tracker": {},
    }
    return TRACKERS[config.model](detector, **own[config.model])


class Stateless(torch.nn.Module):
    """A detector in a tracker's clothes: `step` looks at the frame alone."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def step(self, images, state=None):
        """Heatmaps of the images, and no state."""
        return self.detector(images), None


class Averaging(torch.nn.Module):
    """A detector whose heatmaps of past frames are added up as they are, by Eq. 13.

    What the past is worth without CNN3 and CNN4: nothing is learnt.
    """

    def __init__(self, detector, lam):
        super().__init__()
        self.detector, self.lam = detector, lam

    def step(self, images, state=None):
        """E_t + lambda V_(t-1) on each axis: what to decode, and the state of this frame."""
        detected = self.detector(images)
        past = (None, None) if state is None else state
        sums = tuple(recur(e, v, self.lam) for e, v in zip(detected, past, strict=True))
        return sums, sums


# --- following --------------------------------------------------------------------------------


def square_of(points, scale, size, side):
    """The map from a crop to the cached picture by landmarks: (B, 2, 2), (B, 2).

    Args:
        points: (B, N, 2) cached px, whose tight box is enlarged.
        scale: side of the crop in longer sides of the box.
        size, side: F and S, px.
    """
    low, high = points.amin(dim=1), points.amax(dim=1)
    length = scale * (high - low).amax(dim=-1)  # (B,) cached px
    matrix = torch.eye(2) * (length / size).float()[:, None, None]
    return matrix, ((low + high) / 2 - (side - 1) / 2).float()


@torch.inference_mode()
def follow(tracker, videos, config, device, *, rule="truth", decoders=None, batch=64):
    """Predictions of a tracker, frame by frame, all videos side by side.

    Args:
        tracker: has `step(images, state) -> output, state`; state None is no past. Where it has
            `moves`, its state are points in px of the crop, and are carried from crop to crop.
        videos: `Videos`.
        config: its configuration.
        device: a `Device`.
        rule: "truth" crops each frame by its true box; "previous" by the landmarks predicted in
            the frame before, the first by its true box.
        decoders: names; None takes the configuration's own, which "previous" follows.
        batch: videos side by side.

    Returns:
        dict from decoder to (R, N, 2) float64 cached px, rows as in `videos.all_rows`.
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r}: there are {', '.join(RULES)}")
    tracker.eval()
    names = tuple(decoders or (config.decoder,))
    order = sorted(range(len(videos.rows)), key=lambda v: -len(videos.rows[v]))
    found = {name: [None] * len(order) for name in names}
    for part in range(0, len(order), batch):
        group = order[part : part + batch]
        for name, points in _follow_group(tracker, videos, group, config, device, rule, names):
            for video, there in zip(group, points, strict=True):
                found[name][video] = there
    return {name: torch.cat(parts) for name, parts in found.items()}


def _follow_group(tracker, videos, group, config, device, rule, names):
    """(decoder, points of each video) of videos that are followed side by side, longest first."""
    size, side = config.size, videos.side
    lengths = [len(videos.rows[video]) for video in group]
    found = {name: [[] for _ in group] for name in names}
    state, last, before = None, None, None
    for t in range(lengths[0]):
        active = sum(length > t for length in lengths)
        rows = np.array([videos.rows[video][t] for video in group[:active]])
        matrix, shift = augment.crop_affine(active, size, side, videos.share)
        if rule == "previous" and last is not None:
            here = _moved(last[:active], videos, group[:active], t)
            matrix, shift = square_of(here, videos.scale, size, side)
        images = augment.sample(videos.pictures(rows), matrix, shift, size)
        images = device.move(images).contiguous(memory_format=torch.channels_last)
        state = _first(state, active)
        if state is not None and getattr(tracker, "moves", False):
            before = tuple(part[:active] for part in before)
            state = _carried(state, before, (matrix, shift), videos, group[:active], t, size)
        before = matrix, shift
        with device.autocast():
            output, state = tracker.step(images, state)
        output = training.as_tuple(output)
        for name in names:
            points = training.decode(output, config, name).double().cpu()
            points = augment.to_cached(points, matrix, shift, size, side)
            for place in range(active):
                found[name][place].append(points[place])
            if name == config.decoder:
                last = points
    return [(name, [torch.stack(one) for one in parts]) for name, parts in found.items()]


def _first(state, count):
    """The state of the first videos alone; those that have ended are the last."""
    return None if state is None else tuple(part[:count] for part in state)


def _moved(points, videos, group, t):
    """Cached px of frame t - 1 as cached px of frame t: both frames are cut by their own box."""
    before, now = (
        videos.crops.affine[[videos.rows[video][at] for video in group]] for at in (t - 1, t)
    )
    return torch.from_numpy(crops.to_crop(crops.to_image(points.numpy(), before), now))


def _carried(state, before, now, videos, group, t, size):
    """A state of points (B, N, 2): from px of the crops of frame t - 1 to px of those of frame t.

    Args:
        before, now: matrix and shift of the crops of both frames.
    """
    found = []
    for points in state:
        cached = augment.to_cached(points.double().cpu(), *before, size, videos.side)
        moved = augment.to_crop(_moved(cached, videos, group, t), *now, size, videos.side)
        found.append(moved.to(points))
    return tuple(found)


def validate(tracker, videos, config, device, decoders=None):
    """Mean NRMSE over the frames of held-out videos, by decoder; a frame's scale cancels."""
    predicted = follow(tracker, videos, config, device, decoders=decoders)
    truth = videos.points(videos.all_rows)
    normalizer = metrics.interocular(truth)
    return {
        name: metrics.nrmse(points, truth, normalizer).mean().item()
        for name, points in predicted.items()
    }


@torch.inference_mode()
def validate_cached(tracker, maps, config, device, decoders=None):
    """`validate` of a `Tracker1D`, on heatmaps that its detector has made before.

    Args:
        maps: `Heatmaps` of the held-out videos; their first version is taken.
    """
    tracker.eval()
    order = sorted(range(len(maps.lengths)), key=lambda v: -maps.lengths[v])
    state, rows, found = None, [], {name: [] for name in decoders or (config.decoder,)}
    for t in range(max(maps.lengths)):
        there = [maps.first[v] + t for v in order if t < maps.lengths[v]]  # the longest come first
        state = state and tuple(part[: len(there)] for part in state)
        detected = (torch.from_numpy(e[0, there]) for e in (maps.e_x, maps.e_y))
        with device.autocast():
            refined, state = tracker.refine(*(device.move(e).float() for e in detected), state)
        for name, parts in found.items():
            parts.append(training.decode(refined, config, name).double().cpu())
        rows += there
    truth = torch.from_numpy(maps.points[0, rows]).double()
    normalizer = metrics.interocular(truth)
    return {
        name: metrics.nrmse(torch.cat(parts), truth, normalizer).mean().item()
        for name, parts in found.items()
    }


def motion_measures(predicted, detected, truth, normalizer, lengths):
    """Jitter and delay over videos, one after the other: a dict of (R,) float32 arrays.

    Args:
        predicted, detected, truth: (R, N, 2) px of the image, by the tracker, by the detector
            alone, and true.
        normalizer: (R,) px.
        lengths: frames of each video.

    Returns:
        jitter, jitter_detected, jitter_true: `metrics.jitter` of the three; delay_along,
        delay_detected and delay_way: the sums of `metrics.delay_terms`, by frame.
    """
    names = ("jitter", "jitter_detected", "jitter_true")
    names += ("delay_along", "delay_detected", "delay_way")
    found = {name: [] for name in names}
    whole = (part.split(list(lengths)) for part in (predicted, detected, truth, normalizer))
    for ours, alone, true, scale in zip(*whole, strict=True):
        for name, points in zip(names[:3], (ours, alone, true), strict=True):
            found[name].append(metrics.jitter(points, scale))
        along, way = metrics.delay_terms(ours, true, scale)
        late, _ = metrics.delay_terms(alone, true, scale)
        for name, part in zip(names[3:], (along, late, way), strict=True):
            found[name].append(part)
    return {name: torch.cat(parts).numpy().astype(np.float32) for name, parts in found.items()}
