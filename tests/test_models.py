import inspect

import pytest
import torch

from study.models import (
    FAN,
    MODELS,
    Backbone,
    CoAttention,
    Coordinates,
    Detector1D,
    Detector2D,
    SimCC,
)
from study.models.coattention import affinity, fuse
from study.models.detector import AxisEncoder, deconvolution_stride
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
}
SMALL = {
    "detector1d": (dict(length=192, gamma=0.4), 731_640),
    "detector2d": (dict(length=32), 427_668),
    "simcc": (dict(length=192), 500_244),
    "coordinates": ({}, 671_448),
}


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


def every_tiny_model():
    return {
        "detector1d": detector1d,
        "detector2d": detector2d,
        "simcc": simcc,
        "coordinates": coordinates,
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
    assert {name.split(",")[0] for name in PARAMETERS} == set(MODELS)
    assert set(SMALL) == set(every_tiny_model()) == set(MODELS)


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


def test_coordinates_are_a_point_a_landmark():
    with torch.no_grad():
        points = coordinates().eval()(images())
    assert points.shape == (B, N, 2) and points.isfinite().all()


@pytest.mark.parametrize("size, length", [(96, 72), (128, 96)])
def test_other_face_sizes_work(size, length):
    faces = torch.rand(2, 3, size, size)
    with torch.no_grad():
        columns = 3 if size == 96 else 4
        h_x, _ = detector1d(length, size=size, columns=columns).eval()(faces)
        h = detector2d(length, size=size, columns=columns).eval()(faces)
        x, _ = simcc(length, size=size, columns=columns).eval()(faces)
        points = coordinates(size=size, columns=columns).eval()(faces)
    assert h_x.shape == x.shape == (2, N, length)
    assert h.shape == (2, N, length, length)
    assert points.shape == (2, N, 2)


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


@pytest.mark.parametrize("name", ["simcc", "coordinates"])
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


def test_channels_and_faces_do_not_see_each_other():
    module = CoAttention(4, gamma=0.5)
    d_x, d_y = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 4, 6)
    changed = d_y.clone()
    changed[1, 2] += 1
    with torch.no_grad():
        before, after = module(d_x, d_y)[0], module(d_x, changed)[0]
    moved = (before != after).flatten(2).any(-1)
    assert moved.tolist() == [[False, False, False], [False, False, True]]


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


@pytest.mark.parametrize("name", MODELS)
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


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_equals_its_items_one_by_one(name):
    model = warmed(every_tiny_model()[name]()).double()
    faces = images().double()
    with torch.no_grad():
        whole = as_tuple(model(faces))
        for i in range(B):
            for h, single in zip(whole, as_tuple(model(faces[i : i + 1])), strict=True):
                torch.testing.assert_close(single[0], h[i], atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", MODELS)
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


@pytest.mark.parametrize("name", MODELS)
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
    rivals = simcc(size, size=size), coordinates(size=size)

    def count(*parts):
        layers = [layer for part in parts for layer in part.modules()]
        kinds = (torch.nn.Conv1d, torch.nn.Conv2d)
        return sum(isinstance(x, kinds) and x.kernel_size != (1, 1) for x in layers)

    assert count(two.head) == count(one.cnn1_x, one.cnn2_x) == extra
    assert [count(model.head) for model in rivals] == [extra, extra]
