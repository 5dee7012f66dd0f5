import functools
import inspect

import pytest
import torch

from study import heatmaps
from study.models import (
    FAN,
    MODELS,
    Backbone,
    CoAttention,
    Coordinates,
    Detector1D,
    Detector2D,
    Integral,
    SimCC,
)
from study.models.coattention import (
    FUSIONS,
    PooledFusion,
    RowCoAttention,
    affinity,
    fuse,
    fusion,
)
from study.models.coordinates import to_pixels
from study.models.detector import AxisEncoder, deconvolution_stride, means
from study.models.hourglass import deepest

B, N = 3, 5
LENGTHS = [16, 32, 64, 96, 128, 160, 192, 384, 768]  # at F = 64: the seven L/F, and 6 and 12
TINY = dict(landmarks=N, size=64, channels=8, stacks=1, depth=2, width=8, hidden=12)
PAPER = dict(landmarks=68, size=256, channels=256, stacks=4, depth=4)

PARAMETERS = {
    "detector1d": (dict(length=768, gamma=0.4), 24_718_632),
    "detector2d, L/F 0.25": (dict(length=64), 24_185_540),
    "detector2d, L/F 0.5": (dict(length=128), 24_211_652),
    "simcc": (dict(length=768), 24_580_292),
    "coordinates": ({}, 24_455_432),
    "integral": (dict(length=64), 24_185_540),  # those of the 2D detector
    "lab": (dict(length=64), 29_465_749),
    "lab1d": (dict(length=768, gamma=0.4), 30_485_480),
    "lab_landmarks": (dict(length=768, gamma=0.4), 30_005_936),
}
SMALL = {
    "detector1d": (dict(length=192, gamma=0.4), 731_640),
    "detector2d": (dict(length=32), 427_668),
    "simcc": (dict(length=192), 500_244),
    "coordinates": ({}, 671_448),
    "integral": (dict(length=32), 427_668),
    "lab": (dict(length=64), 1_528_805),
    "lab1d": (dict(length=192, gamma=0.4), 2_320_568),
    "lab_landmarks": (dict(length=192, gamma=0.4), 1_841_024),
}
DESCENDED = [name for name in MODELS if name != "sdm"]  # it has no parameters: see test_sdm


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def images(count=B):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def detector1d(length=96, gamma=0.4, seed=0, **changed):
    torch.manual_seed(seed)
    return Detector1D(**{**TINY, "length": length, "gamma": gamma, **changed})


def detector2d(length=32, seed=0, **changed):
    torch.manual_seed(seed)
    return Detector2D(**{**TINY, "length": length, **changed})


def simcc(length=96, seed=0, **changed):
    torch.manual_seed(seed)
    return SimCC(**{**TINY, "length": length, **changed})


def coordinates(seed=0, **changed):
    torch.manual_seed(seed)
    return Coordinates(**{**TINY, **changed})


def integral(length=32, seed=0, **changed):
    torch.manual_seed(seed)
    return Integral(**{**TINY, "length": length, **changed})


def built(name, **settings):
    torch.manual_seed(0)
    return MODELS[name](**{**TINY, "landmarks": 68, **settings})


def every_tiny_model():
    return {
        "detector1d": detector1d,
        "detector2d": detector2d,
        "simcc": simcc,
        "coordinates": coordinates,
        "integral": integral,
        "lab": functools.partial(built, "lab", length=64),
        "lab1d": functools.partial(built, "lab1d", length=64, gamma=0.4),
        "lab_landmarks": functools.partial(built, "lab_landmarks", length=64, gamma=0.4),
    }


def as_tuple(output):
    return output if isinstance(output, tuple) else (output,)


def warmed(model):
    """A model whose batch norms have seen a batch, in evaluation mode."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(4, 3, 64, 64))
    return model.eval()


# --- pinned -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_the_paper_scale_models_are_pinned(name):
    values, expected = PARAMETERS[name]
    with torch.device("meta"):
        assert count(MODELS[name.split(",")[0]](**PAPER, **values)) == expected


@pytest.mark.parametrize("name", SMALL)
def test_parameters_at_64_px_are_pinned(name):
    values, expected = SMALL[name]
    with torch.device("meta"):
        model = MODELS[name](landmarks=68, size=64, channels=32, stacks=1, depth=4, **values)
    assert count(model) == expected


@pytest.mark.parametrize("stacks, expected", [(1, 6_232_192), (2, 12_053_632), (4, 23_696_512)])
def test_parameters_of_the_backbone_are_pinned(stacks, expected):
    with torch.device("meta"):
        assert count(Backbone(channels=256, stacks=stacks, depth=4)) == expected


@pytest.mark.parametrize("length", [64, 128, 256])
def test_fan_has_the_same_parameters_at_every_length(length):
    with torch.device("meta"):
        model = FAN(**PAPER, length=length)
    assert count(model) == 23_696_512 + 256 * 68 + 68  # the backbone and a 1x1 convolution


def test_no_model_is_missing_from_these_tables():
    assert {name.split(",")[0] for name in PARAMETERS} == set(DESCENDED)
    assert set(SMALL) == set(every_tiny_model()) == set(DESCENDED)


def test_gamma_and_length_of_the_study_change_no_parameter_but_the_deconvolution():
    with torch.device("meta"):
        one, other = detector1d(16, 0.0), detector1d(768, 1.0)
    differing = [
        name
        for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True)
        if a.shape != b.shape
    ]
    assert differing == ["cnn2_x.deconvolve.weight", "cnn2_y.deconvolve.weight"]


def test_constructors_take_keywords_only():
    for model in (*MODELS.values(), Backbone, FAN):
        kinds = [p.kind for p in inspect.signature(model).parameters.values()]
        assert set(kinds) == {inspect.Parameter.KEYWORD_ONLY}


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_the_1d_detector_gives_a_pair_of_maps_at_every_length(length):
    with torch.no_grad():
        h_x, h_y = detector1d(length).eval()(images())
    assert h_x.shape == h_y.shape == (B, N, length)
    assert h_x.isfinite().all() and h_y.isfinite().all()


@pytest.mark.parametrize("length", [16, 32, 48, 64])
def test_the_2d_detector_gives_square_maps(length):
    with torch.no_grad():
        h = detector2d(length).eval()(images())
    assert h.shape == (B, N, length, length)
    assert h.isfinite().all()


@pytest.mark.parametrize("length", [1, 50, 192])
def test_simcc_gives_a_pair_of_logits_at_any_length(length):
    with torch.no_grad():
        x, y = simcc(length).eval()(images())
    assert x.shape == y.shape == (B, N, length)
    assert x.isfinite().all() and y.isfinite().all()


@pytest.mark.parametrize("make", [coordinates, integral])
def test_regressions_give_a_point_a_landmark(make):
    with torch.no_grad():
        points = make().eval()(images())
    assert points.shape == (B, N, 2) and points.isfinite().all()


@pytest.mark.parametrize("length", [16, 48, 64])
def test_integral_regression_is_the_2d_detector_up_to_its_last_layer_at_every_length(length):
    two, one = detector2d(length), integral(length)
    assert all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())
    one = warmed(one)
    torch.nn.init.normal_(one.head[-1].weight, std=100)  # maps with peaks
    two.load_state_dict(one.state_dict())
    two.eval()
    with torch.no_grad():
        p = two(images()).flatten(-2).softmax(-1).unflatten(-1, (length, length))
        points = one(images())
    found = heatmaps.decode_joint(p, 64, "integral")  # of what is a distribution already
    torch.testing.assert_close(to_pixels(points, 64), found, atol=1e-4, rtol=0)
    assert points.abs().max() > 0.1  # not all at the centre


@pytest.mark.parametrize("size, length", [(96, 72), (128, 96)])
def test_other_face_sizes_work(size, length):
    faces = torch.rand(2, 3, size, size)
    with torch.no_grad():
        columns = 3 if size == 96 else 4
        h_x, _ = detector1d(length, size=size, columns=columns).eval()(faces)
        h = detector2d(length, size=size, columns=columns).eval()(faces)
        x, _ = simcc(length, size=size, columns=columns).eval()(faces)
        points = coordinates(size=size, columns=columns).eval()(faces)
        expected = integral(length, size=size, columns=columns).eval()(faces)
    assert h_x.shape == x.shape == (2, N, length)
    assert h.shape == (2, N, length, length)
    assert points.shape == expected.shape == (2, N, 2)


@pytest.mark.parametrize("size, side", [(32, 8), (64, 16), (96, 12), (128, 16), (256, 16)])
def test_simcc_flattens_a_quarter_of_the_size_or_what_halving_leaves_of_it(size, side):
    with torch.device("meta"):
        model = SimCC(**{**TINY, "size": size, "length": 48, "columns": 4 if size != 96 else 3})
    assert model.classify_x.in_features == model.classify_y.in_features == side**2


def test_simcc_shares_its_two_layers_among_landmarks():
    model = simcc().eval()
    torch.nn.init.normal_(model.classify_y.weight)
    with torch.no_grad():
        maps = model.head(model.backbone(images()))  # (B, N, 16, 16)
        _, y = model(images())
        one = model.classify_y(maps[1, 3].flatten())
    torch.testing.assert_close(y[1, 3], one)


def test_coordinates_are_the_mean_of_what_each_position_says():
    model = coordinates().eval()
    torch.nn.init.normal_(model.regress.weight)
    with torch.no_grad():
        features = model.head(model.backbone(images())).unflatten(-1, (12, 16))
        weight = model.regress.weight.unflatten(-1, (12, 16))
        said = torch.einsum("bcp,ocp->bpo", features, weight)  # (B, positions, 2 N)
        points = model(images())
    torch.testing.assert_close(points.flatten(1), said.mean(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["simcc", "coordinates", "integral"])
def test_last_layers_keep_their_precision_under_autocast(name):
    model = warmed(every_tiny_model()[name]())
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(part.dtype == torch.float32 for part in as_tuple(model(images())))


@pytest.mark.parametrize("stacks, depth", [(1, 1), (2, 2), (1, 4)])
def test_the_backbone_gives_a_quarter_of_the_size(stacks, depth):
    backbone = Backbone(channels=8, stacks=stacks, depth=depth).eval()
    with torch.no_grad():
        assert backbone(images()).shape == (B, 8, 16, 16)


@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_the_stem_shrinks_by_its_stride_and_its_pooling(shrink):
    backbone = Backbone(channels=8, stacks=1, depth=2, shrink=shrink).eval()
    with torch.no_grad():
        assert backbone(images()).shape == (B, 8, 64 // shrink, 64 // shrink)


def test_a_stem_that_shrinks_less_has_the_same_weights():
    states = []
    for shrink in (1, 2, 4):
        torch.manual_seed(0)
        states.append(Backbone(channels=8, stacks=1, depth=2, shrink=shrink).state_dict())
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], value) for name, value in states[0].items())


@pytest.mark.parametrize("length", [16, 32, 64])
def test_the_hourglasses_of_fan_run_at_its_heatmaps_size(length):
    model = FAN(landmarks=N, size=64, length=length, channels=8, stacks=1, depth=2).eval()
    seen = []
    model.backbone.stacks[0].register_forward_hook(lambda *passed: seen.append(passed[2].shape))
    with torch.no_grad():
        h = model(images())
    assert h.shape == (B, N, length, length) and h.isfinite().all()
    assert seen == [(B, 8, length, length)]


def test_gradients_reach_every_parameter_of_fan():
    model = FAN(landmarks=N, size=64, length=32, channels=8, stacks=2, depth=2).train()
    model(images()).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_axis_encoder_keeps_its_positions_and_compresses_the_rest():
    encoder = AxisEncoder(channels=6, width=7, rest=16, columns=4).eval()
    assert encoder(torch.rand(B, 6, 24, 16)).shape == (B, 7, 24, 4)


def test_outputs_start_near_zero():
    for make in every_tiny_model().values():
        output = as_tuple(make().train()(images()))
        assert all(h.abs().max() < 0.5 for h in output)


# --- co-attention -----------------------------------------------------------------------------


def test_every_row_of_an_affinity_sums_to_one():
    w = affinity(torch.randn(2, 3, 5, 4), torch.randn(4, 4), torch.randn(2, 3, 4, 5))
    assert w.shape == (2, 3, 5, 5)
    torch.testing.assert_close(w.sum(-1), torch.ones(2, 3, 5))
    assert (w > 0).all()
    assert (w.sum(-2) - 1).abs().max() > 0.1  # rows, not columns


def equation_9_and_10(d_x, d_y, p, q, gamma):
    """Both equations written out in loops, for one channel; d_x (m, d), d_y (d, m)."""
    positions, d = len(d_x), len(d_y)

    def softmax(row):
        powers = [torch.exp(value) for value in row]
        return [power / sum(powers) for power in powers]

    def score(a, matrix, b):  # a, b are feature vectors of one position each
        return sum(a[i] * matrix[i, j] * b[j] for i in range(d) for j in range(d)) / d**0.5

    rows = range(positions)
    w_xy = [softmax([score(d_y[:, i], p, d_x[j]) for j in rows]) for i in rows]
    w_yx = [softmax([score(d_x[i], q, d_y[:, j]) for j in rows]) for i in rows]
    new_x, new_y = d_x.clone(), d_y.clone()
    for i in rows:
        for k in range(d):
            new_x[i, k] += gamma * sum(w_yx[i][j] * d_y[k, j] for j in rows)
            new_y[k, i] += gamma * sum(w_xy[i][j] * d_x[j, k] for j in rows)
    return new_x, new_y


def test_co_attention_equals_equations_9_and_10_written_out():
    batch, channels, positions, d = 2, 3, 5, 4
    module = CoAttention(d, gamma=0.7).double()
    d_x = torch.randn(batch, channels, positions, d, dtype=torch.float64)
    d_y = torch.randn(batch, channels, d, positions, dtype=torch.float64)
    with torch.no_grad():
        new_x, new_y = module(d_x, d_y)
        for b in range(batch):
            for k in range(channels):
                wanted = equation_9_and_10(d_x[b, k], d_y[b, k], module.p, module.q, 0.7)
                torch.testing.assert_close(new_x[b, k], wanted[0])
                torch.testing.assert_close(new_y[b, k], wanted[1])


def test_co_attention_is_symmetric_in_the_axes_when_p_and_q_are_one_matrix():
    # W^xy asks along y with P, W^yx along x with Q: with D^x and (D^y)^T changing places, each
    # becomes the other where P = Q.
    module = CoAttention(4, gamma=0.5)
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    swapped = d_y.transpose(-1, -2), d_x.transpose(-1, -2)
    with torch.no_grad():
        apart = module(d_x, d_y)[0], module(*swapped)[1].transpose(-1, -2)
        assert (apart[0] - apart[1]).abs().max() > 1e-3
        module.q.copy_(module.p)
        new_x, new_y = module(d_x, d_y)
        other_x, other_y = module(*swapped)
    torch.testing.assert_close(other_x, new_y.transpose(-1, -2))
    torch.testing.assert_close(other_y, new_x.transpose(-1, -2))


def test_scores_of_the_two_affinities_are_transposed_when_p_is_q_transposed():
    d_x, d_y, q = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6), torch.randn(4, 4)
    scores_yx = d_x @ q @ d_y
    scores_xy = d_y.transpose(-1, -2) @ q.T @ d_x.transpose(-1, -2)
    torch.testing.assert_close(scores_xy, scores_yx.transpose(-1, -2))
    module = CoAttention(4, 0.4)
    with torch.no_grad():
        module.q.copy_(q)
        module.p.copy_(q.T)
        w_xy, w_yx = module.affinities(d_x, d_y)
    torch.testing.assert_close(w_xy, (scores_xy / 2).softmax(-1))
    torch.testing.assert_close(w_yx, (scores_xy / 2).softmax(-2).transpose(-1, -2))


def test_gamma_scales_what_is_added():
    features, other = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    w = torch.rand(2, 3, 5, 5)
    one, two = fuse(features, w, other, 1.0) - features, fuse(features, w, other, 0.5) - features
    torch.testing.assert_close(one, 2 * two)


def test_features_of_unequal_axes_are_refused_with_their_shapes():
    with pytest.raises(ValueError, match=r"d_x is \(2, 3, 6, 4\), d_y is \(2, 3, 4, 7\)"):
        CoAttention(4, 0.4)(torch.zeros(2, 3, 6, 4), torch.zeros(2, 3, 4, 7))


def test_co_attention_does_not_write_into_its_arguments():
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    kept = d_x.clone(), d_y.clone()
    CoAttention(4, 0.4)(d_x, d_y)
    assert torch.equal(d_x, kept[0]) and torch.equal(d_y, kept[1])


# --- other readings of co-attention -------------------------------------------------------------


def doubles(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("kind", FUSIONS)
def test_every_fusion_keeps_shapes_and_its_arguments(kind):
    module = fusion(kind, positions=6, columns=4, gamma=0.4)
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    kept = d_x.clone(), d_y.clone()
    new_x, new_y = module(d_x, d_y)
    assert (new_x.shape, new_y.shape) == (d_x.shape, d_y.shape)
    assert (new_x - d_x).abs().max() > 1e-3 and (new_y - d_y).abs().max() > 1e-3
    assert torch.equal(d_x, kept[0]) and torch.equal(d_y, kept[1])


@pytest.mark.parametrize("kind", FUSIONS)
def test_every_fusion_returns_its_inputs_exactly_at_gamma_zero(kind):
    module = fusion(kind, positions=6, columns=4, gamma=0.0)
    d_x, d_y = 1e4 * torch.randn(2, 3, 6, 4), 1e-4 * torch.randn(2, 3, 4, 6)
    new_x, new_y = module(d_x, d_y)
    assert torch.equal(new_x, d_x) and torch.equal(new_y, d_y)


@pytest.mark.parametrize("kind", FUSIONS)
def test_no_fusion_mixes_channels_or_faces(kind):
    module = fusion(kind, positions=6, columns=4, gamma=0.5)
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    changed = d_y.clone()
    changed[1, 2] += 1
    with torch.no_grad():
        before, after = module(d_x, d_y)[0], module(d_x, changed)[0]
    moved = (before != after).flatten(2).any(-1)
    assert moved.tolist() == [[False, False, False], [False, False, True]]


def test_each_kind_of_fusion_is_its_module():
    kinds = {"positions": CoAttention, "rows": RowCoAttention, "pooled": PooledFusion}
    assert set(FUSIONS) == set(kinds)
    for kind, module in kinds.items():
        made = fusion(kind, positions=6, columns=4, gamma=0.3)
        assert type(made) is module
        side = 6 if kind == "rows" else 4
        assert [p.shape for p in made.parameters()] == [(side, side), (side, side)]


@pytest.mark.parametrize("kind", ["symmetric", "", None])
def test_an_unknown_fusion_is_refused_by_name(kind):
    message = f"fusion {kind!r} is unknown; there are positions, rows, pooled"
    with pytest.raises(ValueError, match=message):
        fusion(kind, positions=6, columns=4, gamma=0.4)
    with pytest.raises(ValueError, match=message):
        detector1d(fusion=kind)


def test_rows_that_ask_equal_equations_9_and_10_with_the_compressed_axis_in_place_of_positions():
    batch, channels, positions, columns = 2, 3, 5, 4
    module = RowCoAttention(positions, gamma=0.7).double()
    d_x = doubles(batch, channels, positions, columns)
    d_y = doubles(batch, channels, columns, positions)
    p, q = module.parameters()
    with torch.no_grad():
        new_x, new_y = module(d_x, d_y)
        for b in range(batch):
            for k in range(channels):
                wanted = equation_9_and_10(d_x[b, k].T, d_y[b, k].T, p, q, 0.7)
                torch.testing.assert_close(new_x[b, k], wanted[0].T)
                torch.testing.assert_close(new_y[b, k], wanted[1].T)


def test_rows_that_ask_are_co_attention_of_transposed_features():
    rows, plain = RowCoAttention(6, gamma=0.5), CoAttention(6, gamma=0.5)
    plain.load_state_dict(rows.inner.state_dict())
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    with torch.no_grad():
        found, transposed = rows(d_x, d_y), plain(d_x.mT, d_y.mT)
    assert all(torch.equal(a, b.mT) for a, b in zip(found, transposed, strict=True))


def test_rows_that_ask_by_hand():
    # Two positions, one column: its affinity to the other axis's only column is 1, so that all of
    # that is added, gamma times.
    module = RowCoAttention(2, gamma=0.5)
    d_x, d_y = torch.tensor([[1.0], [2.0]])[None, None], torch.tensor([[30.0, 40.0]])[None, None]
    with torch.no_grad():
        new_x, new_y = module(d_x, d_y)
    assert new_x.flatten().tolist() == [16.0, 22.0]
    assert new_y.flatten().tolist() == [30.5, 41.0]


def test_affinities_of_rows_are_between_columns_and_their_rows_sum_to_one():
    module = RowCoAttention(6, gamma=0.5)
    with torch.no_grad():
        pair = module.affinities(torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6))
    for w in pair:
        assert w.shape == (2, 3, 4, 4) and (w > 0).all()
        torch.testing.assert_close(w.sum(-1), torch.ones(2, 3, 4))
        assert (w.sum(-2) - 1).abs().max() > 0.01  # rows, not columns


def test_rows_that_ask_refuse_features_of_unequal_axes():
    with pytest.raises(ValueError, match=r"d_x is \(2, 3, 4, 6\), d_y is \(2, 3, 7, 4\)"):
        RowCoAttention(6, 0.4)(torch.zeros(2, 3, 6, 4), torch.zeros(2, 3, 4, 7))


def test_pooled_fusion_by_hand():
    # Three positions, two columns. D^y has the means (2, 5), which q makes (10, 2); D^x has (1, 2),
    # which p makes (1, 3).
    module = PooledFusion(2, gamma=0.5)
    d_x = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])[None, None]
    d_y = torch.tensor([[1.0, 2.0, 3.0], [4.0, 4.0, 7.0]])[None, None]
    with torch.no_grad():
        module.q.copy_(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
        module.p.copy_(torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
        new_x, new_y = module(d_x, d_y)
    assert new_x[0, 0].tolist() == [[5.0, 2.0], [6.0, 3.0], [7.0, 4.0]]  # D^x + (5, 1)
    assert new_y[0, 0].tolist() == [[1.5, 2.5, 3.5], [5.5, 5.5, 8.5]]  # rows + 0.5 and + 1.5


def test_pooled_fusion_is_equation_10_with_even_affinities_but_for_its_matrices():
    d_x, d_y = doubles(2, 3, 6, 4), doubles(2, 3, 4, 6)
    even = torch.full((2, 3, 6, 6), 1 / 6, dtype=torch.float64)
    module = PooledFusion(4, gamma=0.7).double()
    with torch.no_grad():
        module.p.copy_(torch.eye(4))
        module.q.copy_(torch.eye(4))
        new_x, new_y = module(d_x, d_y)
    torch.testing.assert_close(new_x, fuse(d_x, even, d_y.mT, 0.7))
    torch.testing.assert_close(new_y.mT, fuse(d_y.mT, even, d_x, 0.7))


def test_co_attention_whose_matrices_are_nothing_is_pooled_fusion_whose_matrices_are_one():
    # All scores are then alike, and all affinities even.
    none, one = CoAttention(4, gamma=0.7).double(), PooledFusion(4, gamma=0.7).double()
    with torch.no_grad():
        for parameter in none.parameters():
            parameter.zero_()
        for parameter in one.parameters():
            parameter.copy_(torch.eye(4))
        d_x, d_y = doubles(2, 3, 6, 4), doubles(2, 3, 4, 6)
        for a, b in zip(none(d_x, d_y), one(d_x, d_y), strict=True):
            torch.testing.assert_close(a, b)


def test_what_pooled_fusion_adds_is_the_same_at_every_position():
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    with torch.no_grad():
        new_x, new_y = PooledFusion(4, gamma=0.7)(d_x, d_y)
    added_x, added_y = new_x - d_x, (new_y - d_y).mT
    torch.testing.assert_close(added_x, added_x[..., :1, :].expand_as(added_x))
    torch.testing.assert_close(added_y, added_y[..., :1, :].expand_as(added_y))
    assert added_x.std(-1).min() > 0  # and another in every column


def test_pooled_fusion_has_the_parameters_of_co_attention_drawn_alike():
    torch.manual_seed(0)
    one = CoAttention(4, 0.4).state_dict()
    torch.manual_seed(0)
    other = PooledFusion(4, 0.4).state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_1d_detector_takes_every_fusion(kind):
    model = detector1d(fusion=kind).train()
    h_x, h_y = model(images())
    assert h_x.shape == h_y.shape == (B, N, 96)
    (h_x.square().sum() + h_y.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_positions_and_pooled_detectors_have_the_same_weights_and_other_outputs():
    kinds = ("positions", "pooled", "rows")
    one, other, rows = (detector1d(fusion=kind).eval() for kind in kinds)
    assert count(one) == count(other) == count(rows) - 2 * 16**2 + 2 * 4**2
    state = other.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
    with torch.no_grad():
        assert (one(images())[0] - other(images())[0]).abs().max() > 1e-5


@pytest.mark.parametrize("kind", FUSIONS)
def test_without_gamma_no_fusion_changes_the_detector(kind):
    bare, fused = detector1d(gamma=0.0), detector1d(gamma=0.0, fusion=kind)
    state = {name: value for name, value in bare.state_dict().items() if "co_att" not in name}
    assert not fused.load_state_dict(state, strict=False).unexpected_keys
    with torch.no_grad():
        pairs = zip(bare.eval()(images()), fused.eval()(images()), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


# --- heads of one capacity ----------------------------------------------------------------------


def test_the_means_are_the_head_s_bins_over_l_and_one_where_it_gives_l():
    assert [means(length, 192) for length in (16, 32, 64, 192)] == [12, 6, 3, 1]
    assert [means(length, 0) for length in (16, 192, 768)] == [1, 1, 1]


@pytest.mark.parametrize("length, head", [(128, 192), (192, 64), (16, 8), (192, -192)])
def test_a_head_that_is_no_multiple_of_the_length_is_refused(length, head):
    message = f"head_length {head} is no multiple of length {length}"
    with pytest.raises(ValueError, match=message):
        means(length, head)


def test_a_detector_refuses_heads_that_it_cannot_average_or_deconvolve():
    with pytest.raises(ValueError, match="head_length 192 is no multiple of length 128"):
        detector1d(128, head_length=192)
    with pytest.raises(ValueError, match="length 24 is no multiple of F/4 = 16"):
        detector1d(12, head_length=24)


@pytest.mark.parametrize("length", [16, 32, 64, 96])
def test_bins_of_a_long_head_are_means_of_neighbouring_bins_of_the_long_detector(length):
    long, short = detector1d(192), detector1d(length, head_length=192)
    short.load_state_dict(long.state_dict())
    with torch.no_grad():
        for whole, h in zip(long.eval()(images()), short.eval()(images()), strict=True):
            assert h.shape == (B, N, length)
            expected = whole.unflatten(-1, (length, 192 // length)).mean(-1)
            torch.testing.assert_close(h, expected, atol=1e-6, rtol=1e-5)


def test_a_long_head_has_the_same_weights_at_every_length():
    states = [detector1d(length, head_length=192).state_dict() for length in (16, 48, 192)]
    states.append(detector1d(192).state_dict())
    for state in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())
    assert count(detector1d(16)) < count(detector1d(16, head_length=192))


def test_a_head_of_its_own_length_averages_nothing():
    with torch.no_grad():
        plain, same = (detector1d(96, head_length=h).eval()(images()) for h in (0, 96))
    assert all(torch.equal(a, b) for a, b in zip(plain, same, strict=True))


# --- gamma = 0 --------------------------------------------------------------------------------


def test_gamma_zero_equals_a_detector_without_co_attention_bit_for_bit():
    class Nothing(torch.nn.Module):
        def forward(self, d_x, d_y):
            return d_x, d_y

    with_module, without = detector1d(gamma=0.0), detector1d(gamma=0.4)
    without.co_attention = Nothing()
    for mode in (False, True):
        with_module.train(mode), without.train(mode)
        for a, b in zip(with_module(images()), without(images()), strict=True):
            assert torch.equal(a, b)


def test_gamma_above_zero_changes_the_maps():
    first, second = detector1d(gamma=0.0).eval(), detector1d(gamma=0.4).eval()
    with torch.no_grad():
        changes = [
            (a - b).abs().max() for a, b in zip(first(images()), second(images()), strict=True)
        ]
    assert min(changes) > 1e-5


def test_the_same_seed_gives_the_same_weights_for_every_gamma():
    states = [detector1d(gamma=gamma).state_dict() for gamma in (0.0, 0.4, 1.0)]
    for state in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0].items())


# --- training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DESCENDED)
def test_gradients_reach_every_parameter(name):
    model = every_tiny_model()[name]().train()
    sum(h.square().sum() for h in as_tuple(model(images()))).backward()
    without = [
        key
        for key, p in model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or p.grad.abs().max() == 0
    ]
    assert without == []


def test_two_stacks_all_get_gradients():
    model = detector1d(stacks=2).train()
    sum(h.square().sum() for h in model(images())).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_p_and_q_alone_get_no_gradient_at_gamma_zero():
    model = detector1d(gamma=0.0).train()
    sum(h.square().sum() for h in model(images())).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == {"co_attention.p", "co_attention.q"}


@pytest.mark.parametrize("name", DESCENDED)
def test_a_batch_equals_its_items_one_by_one(name):
    model = warmed(every_tiny_model()[name]()).double()
    faces = images().double()
    with torch.no_grad():
        whole = as_tuple(model(faces))
        for i in range(B):
            for h, single in zip(whole, as_tuple(model(faces[i : i + 1])), strict=True):
                torch.testing.assert_close(single[0], h[i], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", DESCENDED)
def test_images_are_unchanged_after_the_call(name):
    faces = images()
    kept = faces.clone()
    every_tiny_model()[name]().train()(faces)
    assert torch.equal(faces, kept)


# --- axes -------------------------------------------------------------------------------------


def _symmetrise(module):
    """Makes each square convolution equal to its own transpose, so that it commutes with .mT."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.data = (layer.weight.data + layer.weight.data.mT) / 2


def test_a_transposed_image_gives_exchanged_maps_when_both_axes_have_the_same_weights():
    model = warmed(detector1d(gamma=0.6))
    _symmetrise(model.backbone)
    model.cnn1_y.load_state_dict(model.cnn1_x.state_dict())
    model.cnn2_y.load_state_dict(model.cnn2_x.state_dict())
    model.co_attention.q.data.copy_(model.co_attention.p.data)
    model, faces = model.double(), images().double()
    with torch.no_grad():
        h_x, h_y = model(faces)
        other_x, other_y = model(faces.mT)
    torch.testing.assert_close(other_x, h_y, atol=1e-10, rtol=0)
    torch.testing.assert_close(other_y, h_x, atol=1e-10, rtol=0)
    assert (h_x - h_y).abs().max() > 1e-5  # else nothing was exchanged


def test_a_transposed_image_gives_a_transposed_2d_map():
    model = warmed(detector2d())
    _symmetrise(model)
    deconvolution = model.head[-1].weight
    deconvolution.data = (deconvolution.data + deconvolution.data.mT) / 2
    model, faces = model.double(), images().double()
    with torch.no_grad():
        h, other = model(faces), model(faces.mT)
    torch.testing.assert_close(other, h.mT, atol=1e-10, rtol=0)
    assert (h - h.mT).abs().max() > 1e-5  # else nothing was transposed


def test_the_x_features_vary_along_x_and_the_y_features_along_y(monkeypatch):
    model = detector1d().eval()
    features = torch.zeros(1, 8, 16, 16)
    features[..., 11] = torch.arange(1.0, 9.0)[None, :, None]  # a stripe at x = 11, all y
    monkeypatch.setattr(model.backbone, "forward", lambda _: features)
    with torch.no_grad():
        d_x, d_y = model.distributions(images())
        empty_x, empty_y = (m(torch.zeros(1, 8, 16, 16)) for m in (model.cnn1_x, model.cnn1_y))
    assert d_x.shape == (1, 8, 16, 4) and d_y.shape == (1, 8, 4, 16)
    assert (d_x - empty_x).abs().amax((0, 1, 3)).nonzero().flatten().tolist() == [9, 10, 11, 12, 13]
    inner = (d_y - empty_y.mT)[..., 3:13]  # without the rows that the padding reaches
    assert (inner - inner[..., :1]).abs().max() < 1e-5


# --- wrong sizes ------------------------------------------------------------------------------


def test_the_stride_is_the_length_over_a_quarter_of_the_size():
    assert [deconvolution_stride(64, length) for length in (16, 96, 768)] == [1, 6, 48]


@pytest.mark.parametrize("length", [100, 8, 0])
def test_a_length_that_is_no_multiple_of_a_quarter_of_the_size_is_refused(length):
    with pytest.raises(ValueError, match=rf"length {length} is no multiple of F/4 = 16 \(F = 64\)"):
        detector1d(length)


@pytest.mark.parametrize("length", [48, 96, 8, 0])
def test_a_length_that_no_stem_gives_is_refused(length):
    with pytest.raises(ValueError, match=rf"length {length} is not F, F/2 or F/4 \(F = 64\)"):
        FAN(landmarks=N, size=64, length=length, channels=8, stacks=1)


def test_a_stem_that_shrinks_by_3_is_refused():
    with pytest.raises(ValueError, match="shrink is 3"):
        Backbone(channels=8, stacks=1, depth=2, shrink=3)


@pytest.mark.parametrize("columns", [0, 3, 5, 16])
def test_columns_that_halving_does_not_reach_are_refused(columns):
    with pytest.raises(ValueError, match=f"cannot halve 16 positions to {columns} columns"):
        detector1d(columns=columns)


@pytest.mark.parametrize("shape", [(72, 72), (64, 80)])
def test_images_that_the_backbone_cannot_halve_are_refused(shape):
    backbone = Backbone(channels=8, stacks=1, depth=2)
    message = rf"{shape[0]} x {shape[1]} px.*squares.*multiple of 16 px"
    with pytest.raises(ValueError, match=message):
        backbone(torch.zeros(2, 3, *shape))


@pytest.mark.parametrize("name", DESCENDED)
def test_images_of_another_size_than_the_model_s_are_refused(name):
    with pytest.raises(ValueError, match="128 x 128 px.*64"):
        every_tiny_model()[name]()(torch.zeros(2, 3, 128, 128))


def test_fan_refuses_images_of_another_size():
    model = FAN(landmarks=N, size=64, length=32, channels=8, stacks=1, depth=2)
    with pytest.raises(ValueError, match="128 x 128 px.*64"):
        model(torch.zeros(2, 3, 128, 128))


@pytest.mark.parametrize("size, depth", [(256, 4), (64, 4), (128, 4), (96, 3), (32, 3), (16, 2)])
def test_a_backbone_is_as_deep_as_the_crop_allows_and_never_deeper_than_fan(size, depth):
    assert deepest(size) == depth


@pytest.mark.parametrize("size, extra", [(64, 4), (128, 5), (256, 6)])
def test_every_head_has_as_many_convolutions_as_each_of_the_1d_heads(size, extra):
    one = detector1d(size, size=size)
    two = detector2d(size // 4, size=size)
    rivals = simcc(size, size=size), coordinates(size=size), integral(size, size=size)

    def count(*parts):
        layers = [layer for part in parts for layer in part.modules()]
        kinds = (torch.nn.Conv1d, torch.nn.Conv2d)
        return sum(isinstance(x, kinds) and x.kernel_size != (1, 1) for x in layers)

    assert count(two.head) == count(one.cnn1_x, one.cnn2_x) == extra
    assert [count(model.head) for model in rivals] == [extra, extra, extra]
