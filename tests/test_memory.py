import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from study import config as configs, memory, training, work
from study.config import TrackerConfig, TrainingConfig
from study.device import Device
from study.memory import GIB

LANDMARKS = 5
SMALL = dict(size=32, channels=8, depth=2, width=12, columns=2, hidden=20, batch=3)
KINDS = ("detector1d", "detector2d", "tracker1d", "tracker2d")


def config(model, precision="float32", **changed):
    axes = "1d" if model.endswith("1d") else "2d"
    length = {"1d": 56, "2d": 24}[axes]  # L/F 1.75 and 0.75
    detector = TrainingConfig(f"detector{axes}", **{**SMALL, "length": length, **changed})
    detector = dataclasses.replace(detector, precision=precision)
    if model.startswith("detector"):
        return detector
    shape = dict(frames=4, batch=2, hidden=28, precision=precision)
    return TrackerConfig(model, detector, **shape)


def real(settings, landmarks=LANDMARKS):
    model = work.build_model(settings, landmarks)
    return model.to(memory_format=torch.channels_last)


def traced(function, weights=(), others=()):
    trace = memory.Trace(weights, others)
    with trace, saved_tensors_hooks(trace.pack, trace.unpack):
        function()
    return trace


# --- by hand ----------------------------------------------------------------------------------


def test_a_linear_layer_keeps_its_input_and_a_relu_its_output():
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU())
    x = torch.rand(2, 3)
    trace = traced(lambda: model(x).sum().backward(), [*model.parameters()], [x])
    assert trace.activations == 4 * (2 * 3 + 2 * 5)  # float32; the sum keeps nothing
    forward, weight_gradient = 2 * 2 * 3 * 5, 2 * 3 * 2 * 5
    assert trace.flops[trace.forward - 1] == forward
    assert trace.flops[-1] == forward + weight_gradient  # x asks for none


def test_a_storage_that_is_kept_twice_or_through_views_counts_once():
    x = torch.rand(2, 3, requires_grad=True)
    trace = traced(lambda: x * x.view(3, 2).reshape(2, 3)[:, :])
    assert trace.activations == 4 * 2 * 3
    trace = traced(lambda: x[:1] * x[:1])
    assert trace.activations == 4 * 2 * 3  # the whole storage stays for the sake of a part


def test_weights_that_autograd_keeps_are_no_activations():
    x, weight = torch.rand(2, 3), torch.rand(3, requires_grad=True)
    assert traced(lambda: x * weight, [weight], [x]).activations == 4 * 2 * 3
    x.requires_grad_()
    assert traced(lambda: x * weight, [weight], [x]).activations == 4 * 2 * 3
    assert traced(lambda: x * weight, [], [x]).activations == 4 * (2 * 3 + 3)


def test_what_is_alive_goes_up_with_results_and_down_with_what_nobody_holds():
    before = torch.zeros(25)

    def compute():
        a = torch.zeros(4)  # 16 bytes
        b = a + 1
        del a
        c = b.double()  # 32 bytes
        c.add_(1)
        c.view(2, 2)

    assert traced(compute, others=[before]).live == [116, 132, 148, 148, 148]


def test_the_squares_of_a_loss_are_counted_in_the_sum_that_holds_them():
    x = torch.rand(2, 3)
    loss = torch.nn.functional.mse_loss(x, torch.zeros(2, 3), reduction="sum")
    assert loss.untyped_storage().nbytes() == 4 * 2 * 3
    with memory.FakeTensorMode():
        x, y = torch.rand(2, 3), torch.zeros(2, 3)
        trace = traced(lambda: torch.nn.functional.mse_loss(x, y, reduction="sum"))
        plain = traced(lambda: torch.nn.functional.mse_loss(x, y, reduction="none"))
    assert trace.live == [2 * 24] and plain.live == [24]


def test_the_ledger_of_a_small_model_adds_up_by_hand():
    class Tiny(torch.nn.Module):
        """A linear map to a pair of heatmaps of 8 bins for one landmark."""

        def __init__(self, *_):
            super().__init__()
            self.layer = torch.nn.Linear(3 * 32 * 32, 16)

        def forward(self, images):
            h = self.layer(images.contiguous().flatten(1)).view(-1, 2, 1, 8)
            return h[:, 0], h[:, 1]

    settings = config("detector1d", length=8)
    found = memory.ledger(settings, 1, Tiny)
    faces, weights = settings.batch, 3 * 32 * 32 * 16 + 16
    images, heatmaps = faces * 3 * 32 * 32, faces * 2 * 8
    assert found.parameters == weights
    assert found.weights == found.gradients == 4 * weights
    assert found.adam == 4 * (2 * weights + 2)  # moments; a count of steps for each tensor
    assert found.buffers == found.average == 0
    assert found.inputs == 4 * (images + faces * 2)
    # Autograd keeps the flat copy of the images, and heatmaps and targets for the loss.
    assert found.activations == 4 * (images + 2 * heatmaps)
    assert found.forward_flops == 2 * images * 16
    assert found.flops == 2 * found.forward_flops


# --- without the memory -----------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_fake_tensors_give_what_real_ones_give_to_the_byte(kind, precision):
    settings = config(kind, precision)
    found = memory.count(real(settings), settings, LANDMARKS)
    pretended = memory.ledger(settings, LANDMARKS)
    assert pretended == found
    assert np.array_equal(pretended.live, found.live)


@pytest.mark.parametrize("kind", KINDS)
def test_the_peak_is_what_the_profiler_measures(kind):
    # Heatmaps of the size of their features; what the profiler finds more is the workspace of
    # one-dimensional convolutions.
    settings = config(kind, length={"1d": 96, "2d": 32}[kind[-2:]], channels=16)
    assert memory.ledger(settings, 68).peak == pytest.approx(profiled_peak(settings), rel=0.1)


def profiled_peak(settings):
    """Bytes at the peak of a second training step, by torch's profiler on a CPU."""
    model = real(settings, 68).train()
    optimizer = training.make_optimizer(model, settings)
    task, batch = memory.task_of(settings, 68), memory.inputs(settings, 68)
    step = functools.partial(task.step, model, optimizer, batch, Device("cpu"))
    step()
    held = [*model.parameters(), *model.buffers(), *batch]
    held += [weight.grad for weight in model.parameters() if weight.grad is not None]
    held += [part for state in optimizer.state.values() for part in state.values()]
    before = sum(tensor.untyped_storage().nbytes() for tensor in held)
    del held
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return before + int(np.cumsum([change for _, change in changes]).max())


def test_flops_are_those_of_torch_s_own_counter():
    settings = config("detector1d")
    model = real(settings)
    with FlopCounterMode(display=False) as counter:
        loss = sum(h.square().sum() for h in model(memory.inputs(settings, LANDMARKS)[0]))
        forward = counter.get_total_flops()
        loss.backward()
    found = memory.ledger(settings, LANDMARKS)
    assert (found.forward_flops, found.flops) == (forward, counter.get_total_flops())


def test_counting_draws_no_random_number_and_leaves_nothing_fake_behind():
    before = torch.get_rng_state()
    memory.ledger(config("detector1d"), LANDMARKS)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.zeros(2).tolist() == [0, 0]


def test_sizes_that_a_model_cannot_have_are_refused():
    with pytest.raises(ValueError, match="length 24 is not F, F/2 or F/4"):
        memory.ledger(config("detector2d"), LANDMARKS, memory.fan)


# --- what is counted --------------------------------------------------------------------------


def test_a_frozen_detector_has_weights_and_neither_gradients_nor_moments():
    tracker = config("tracker1d")
    found, inside = (memory.ledger(one, LANDMARKS) for one in (tracker, tracker.detector))
    assert found.gradients == found.weights - inside.weights
    assert found.adam == pytest.approx(2 * found.gradients, rel=0.01)


def test_a_running_average_is_a_copy_of_weights_and_buffers():
    plain = memory.ledger(config("detector2d"), LANDMARKS)
    averaged = memory.ledger(config("detector2d", average=0.9), LANDMARKS)
    assert averaged.average == plain.weights + plain.buffers
    assert averaged.peak == plain.peak + averaged.average


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_and_adam_s_state_are_as_large_as_a_real_step_leaves_them(kind):
    settings = config(kind)
    model = real(settings).train()
    optimizer = training.make_optimizer(model, settings)
    task, batch = memory.task_of(settings, LANDMARKS), memory.inputs(settings, LANDMARKS)
    task.step(model, optimizer, batch, Device("cpu"))
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    state = [part for parts in optimizer.state.values() for part in parts.values()]
    found = memory.count(model, settings, LANDMARKS)
    for tensors, size in ((gradients, found.gradients), (state, found.adam)):
        assert sum(tensor.untyped_storage().nbytes() for tensor in tensors) == size


def test_bfloat16_keeps_less_than_float32():
    single, half = (memory.ledger(config("detector2d", p)) for p in ("float32", "bfloat16"))
    assert 0.5 < half.activations / single.activations < 0.9  # heatmaps stay in float32
    assert half.weights == single.weights


def test_gamma_costs_memory_only_where_there_is_co_attention():
    without, with_it = (memory.ledger(config("detector1d", gamma=g)) for g in (0.0, 0.4))
    assert without.activations < with_it.activations
    assert without.weights == with_it.weights


# --- what fits --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["detector1d", "detector2d", "tracker1d"])
def test_what_grows_with_the_batch_is_exact_at_every_batch(kind):
    settings = config(kind)
    growth = memory.Growth(settings, LANDMARKS)
    for batch in (4, 11):
        found = memory.ledger(dataclasses.replace(settings, batch=batch), LANDMARKS)
        assert growth.peak(batch) == found.peak
        assert growth.activations(batch) == found.activations


@pytest.mark.parametrize("mib", [2, 7])
def test_the_largest_batch_fits_and_one_more_does_not(mib):
    settings, card = config("detector2d"), mib * 2**20
    growth = memory.Growth(settings, LANDMARKS)
    batch = memory.largest_batch(settings, card, LANDMARKS)
    assert growth.peak(batch) <= card < growth.peak(batch + 1)
    assert growth.largest_batch(growth.peak(5)) == 5
    assert growth.largest_batch(growth.peak(5) - 1) == 4


def test_a_card_that_cannot_hold_the_weights_holds_no_batch():
    settings = config("detector2d")
    weights = memory.ledger(settings, LANDMARKS).weights
    assert memory.largest_batch(settings, weights // 2, LANDMARKS) == 0
    assert memory.largest_batch(settings, weights * 4, LANDMARKS) == 0


def test_the_largest_length_fits_and_the_next_does_not(monkeypatch):
    counted = functools.cache(memory.ledger)
    monkeypatch.setattr(memory, "ledger", lambda *arguments: counted(*arguments))
    settings, lengths = config("detector2d"), memory.multiples(32, 72)
    assert lengths == [8, 16, 24, 32, 40, 48, 56, 64, 72]
    peaks = {
        length: memory.ledger(
            dataclasses.replace(settings, length=length), LANDMARKS, work.build_model
        ).peak
        for length in (40, 48)
    }
    assert memory.largest_length(settings, peaks[48] - 1, lengths, LANDMARKS) == 40
    assert memory.largest_length(settings, peaks[48], lengths, LANDMARKS) == 48
    assert memory.largest_length(settings, 10**12, lengths, LANDMARKS) == 72
    assert memory.largest_length(settings, 1000, lengths, LANDMARKS) is None


def test_the_lengths_of_the_paper_are_its_seven():
    assert memory.lengths_of_paper(256) == [64, 128, 256, 384, 512, 640, 768]
    assert memory.lengths_of_paper(64) == [16, 32, 64, 96, 128, 160, 192]


# --- Table 1 ----------------------------------------------------------------------------------


@functools.cache
def paper_size(model, length, build=work.build_model):
    """The ledger of a detector of the paper's size, at its batch of 10."""
    flagship = configs.load("paper").run("detector1d_L768-s0").config
    return memory.ledger(dataclasses.replace(flagship, model=model, length=length), build=build)


@pytest.mark.parametrize("length, gib", [(64, 2.7), (128, 9.8), (256, 39.1)])
def test_hourglasses_at_l_by_l_need_the_memory_that_was_counted_before(length, gib):
    found = paper_size("detector2d", length, memory.fan)
    assert found.activations / GIB == pytest.approx(gib, rel=0.1)


def test_at_l_256_only_hourglasses_at_l_by_l_exceed_the_paper_s_card():
    assert paper_size("detector2d", 256, memory.fan).peak > 32 * GIB
    assert paper_size("detector2d", 256).peak < 5 * GIB
    assert paper_size("detector2d", 768).peak < 16 * GIB


def test_1d_heatmaps_at_l_768_need_hardly_more_than_the_backbone():
    found = paper_size("detector1d", 768)
    assert found.activations / GIB == pytest.approx(3.0, rel=0.1)
    assert found.peak < 4 * GIB


def test_a_2d_head_that_deconvolves_adds_two_maps_for_each_bin():
    # To the backbone and the head it adds, at both lengths, the output that the loss reads and
    # the targets; so what L adds is known.
    maps = 2 * 10 * 68 * (768**2 - 256**2) * 4  # bytes
    long, short = (paper_size("detector2d", length) for length in (768, 256))
    assert long.activations - short.activations == maps


@pytest.fixture(scope="module")
def table():
    return memory.table(config("detector1d"), [8, 72], card=0.004)


def test_the_table_has_a_row_for_each_system_and_length_that_it_can_have(table):
    rows = table.groupby("system", sort=False)["length"].apply(list).to_dict()
    assert rows == {
        "2D, hourglasses at L x L": [8],
        "2D, deconvolved from F/4": [8, 72],
        "1D": [8, 72],
    }
    assert (table["length_over_input"] == table["length"] / 32).all()
    assert set(table["batch"]) == {3} and set(table["size"]) == {32}
    one = table[(table["system"] == "1D") & (table["length"] == 72)].iloc[0]
    found = memory.ledger(config("detector1d", length=72))
    assert one["peak_gib"] == found.peak / GIB
    assert one["activations_gib"] == found.activations / GIB
    assert one["parameters_m"] == found.parameters / 1e6


def test_the_table_says_what_fits_its_card(table):
    assert (table["fits"] == (table["peak_gib"] <= 0.004)).all()
    assert (table["fits"] == (table["largest_batch"] >= 3)).all()
    assert set(table["fits"]) == {True, False}


def test_the_table_takes_lengths_and_card_of_the_paper_unless_told_otherwise(monkeypatch):
    class Nothing:
        parameters = 0

        def __init__(self, *_, **__):
            pass

        def peak(self, batch):
            return 0

        activations = largest_batch = peak

    monkeypatch.setattr(memory, "Growth", Nothing)
    found = memory.table(config("detector1d"))
    assert set(found["card_gib"]) == {32}
    assert found[found["system"] == "1D"]["length"].tolist() == memory.lengths_of_paper(32)
