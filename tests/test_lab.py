import pytest
import torch

from study import boundaries, heatmaps
from study.models import coordinates, lab
from study.models.objectives import OBJECTIVES, boundary_loss

B, SIZE, LENGTH = 2, 32, 64
SETTINGS = dict(landmarks=68, size=SIZE, channels=8, stacks=1, depth=1, width=16, hidden=8)
LENGTHS = {"lab": lab.CELLS, "lab1d": LENGTH, "lab_landmarks": LENGTH}
MODELS = {"lab": lab.LAB, "lab1d": lab.LAB1D, "lab_landmarks": lab.LABOfLandmarks}
PARAMETERS = {"lab": 103_949, "lab1d": 129_376, "lab_landmarks": 109_096}


def built(model, **changed):
    torch.manual_seed(0)
    own = {} if model == "lab" else {"gamma": 0.4}
    return MODELS[model](**{**SETTINGS, "length": LENGTHS[model], **own, **changed}).eval()


def images():
    return torch.rand(B, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def faces():
    """(B, 68, 2) px around the crop's centre."""
    generator = torch.Generator().manual_seed(1)
    return 8 + 16 * torch.rand(B, 68, 2, generator=generator)


@pytest.mark.parametrize("model, count", PARAMETERS.items())
def test_parameters_are_pinned(model, count):
    assert sum(p.numel() for p in built(model).parameters()) == count


@pytest.mark.parametrize("model", MODELS)
def test_output_is_points_and_what_the_targets_are_of(model):
    with torch.inference_mode():
        points, *recognised = built(model)(images())
    true, *wanted = OBJECTIVES[model].targets(faces(), SIZE, LENGTHS[model], 2.0)
    assert points.shape == true.shape == (B, 68, 2)
    assert [h.shape for h in recognised] == [h.shape for h in wanted]


@pytest.mark.parametrize("model", MODELS)
def test_the_regressor_teaches_the_recogniser_nothing(model):
    net = built(model)
    points, *recognised = net(images())
    points.square().sum().backward()
    assert all(p.grad is None for p in net.recogniser.parameters())
    assert all(p.grad is not None for p in net.regressor.parameters())
    sum(h.square().sum() for h in recognised).backward()
    assert all(p.grad is not None for p in net.recogniser.backbone.parameters())


@pytest.mark.parametrize("model", ["lab1d", "lab_landmarks"])
def test_the_maps_of_true_heatmaps_are_the_true_maps(model):
    # Read back below the bin from heatmaps, the curves are where they were to a tenth of a cell.
    points = faces()
    _, *marginals = OBJECTIVES[model].targets(points, SIZE, LENGTH, 2.0)
    wanted = boundaries.boundary_maps(boundaries.curve_points(points), SIZE, lab.CELLS, 1.0)
    found = built(model).maps(*marginals)
    assert (found - wanted).abs().mean() < 0.01
    assert (found - wanted).abs().max() < 0.3


def test_the_maps_of_lab_are_its_output_where_it_is_positive():
    h = torch.tensor([-1.0, 0.5]).view(1, 2, 1, 1)
    assert built("lab").maps(h).flatten().tolist() == [0, 0.5]


def test_the_regressor_looks_at_both_the_face_and_its_boundaries():
    net = lab.BoundaryRegressor(landmarks=68, size=SIZE, width=8).eval()
    torch.nn.init.normal_(net.regress.weight)
    maps = torch.rand(B, 13, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        plain = net(images(), maps)
        assert not torch.allclose(net(images().flip(-1), maps), plain)
        for number in range(13):
            other = maps.clone()
            other[:, number] = 0
            assert not torch.allclose(net(images(), other), plain)


def test_feature_fusion_starts_near_the_features_and_gates_each_by_less_than_its_size():
    fuse = lab.FeatureFusion(8).eval()
    x, maps = torch.randn(B, 8, 16, 16), torch.rand(B, 13, 64, 64)
    with torch.inference_mode():
        assert (fuse(x, maps) - x).abs().max() < 0.2 * x.abs().max()
        for layer in fuse.transform:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.normal_(layer.weight)
        assert ((fuse(x, maps) - x).abs() <= x.abs() + 1e-6).all()


def test_the_loss_is_wing_of_points_and_squares_of_maps():
    points, maps = faces(), torch.rand(B, 13, 8, 8)
    sides = coordinates.to_sides(points, SIZE)
    moved = sides + 0.01
    wanted = coordinates.wing_loss((moved,), (sides,)) + (13 * 8 * 8 * 0.25)
    found = boundary_loss((moved, maps + 0.5), (sides, maps))
    torch.testing.assert_close(found, wanted)


def test_points_are_read_from_the_first_output():
    sides = coordinates.to_sides(faces(), SIZE)
    found = OBJECTIVES["lab"].points((sides, torch.zeros(B, 13, 8, 8)), SIZE, "direct", 1.0)
    torch.testing.assert_close(found, faces())


def test_curves_are_marginal_heatmaps_of_the_points_along_them():
    points = faces()
    _, h_x, h_y = lab.curve_targets(points, SIZE, LENGTH, 2.0)
    found = heatmaps.decode_marginals(h_x, h_y, SIZE, "taylor")
    torch.testing.assert_close(found, boundaries.curve_points(points), atol=0.02, rtol=0)
