import copy
import time

import pytest
import torch
from torch import nn

from faceinpaint.modeling.frame_regressor import FrameRegressor
from faceinpaint.modeling.layout_generator import LayoutGenerator
from faceinpaint.modeling.texture_generator import TextureGenerator
from faceinpaint.precision import FEWEST_ROUNDS, LONGEST, ROUNDS, _seconds, fast_dtype, settle

SIZE = 128


@pytest.fixture(
    params=[
        lambda: LayoutGenerator((8, 8, 16, 16), depth=1, heads=2, size=SIZE),
        lambda: TextureGenerator((8, 8, 16, 16), 8, 8, depth=1, heads=4, size=SIZE),
        lambda: FrameRegressor((8, 8, 8, 8), 8, SIZE),
    ],
    ids=["layout", "texture", "frame"],
)
def network(request, shake):
    torch.manual_seed(0)
    network = request.param()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return shake(network)


@pytest.fixture
def inputs(network):
    generator = torch.Generator().manual_seed(0)
    image, prior = (torch.rand(1, 3, SIZE, SIZE, generator=generator) * 2 - 1 for _ in range(2))
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 20:40, 10:50] = 1
    layout = torch.rand(1, 19, SIZE, SIZE, generator=generator).softmax(1)
    needed = {LayoutGenerator: 3, TextureGenerator: 4, FrameRegressor: 2}[type(network)]
    return (image, mask, prior, layout)[:needed]


def outputs(network, inputs):
    result = network(*inputs)
    return [torch.view_as_real(x) for x in result] if isinstance(result, tuple) else [result]


@pytest.mark.parametrize("fused", [False, True], ids=["written", "fused"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.02)])
@torch.inference_mode()
def test_a_settled_network_computes_the_same(network, inputs, dtype, tolerance, fused, monkeypatch):
    monkeypatch.setattr("faceinpaint.precision._fused_attention_is_faster", lambda dtype: fused)
    expected = outputs(network, inputs)
    settled = copy.deepcopy(network)
    settle(settled, dtype)
    settle(settled, dtype)  # a second time changes nothing
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        for there, here in zip(expected, outputs(settled, inputs), strict=True):
            assert (here - there).abs().max() <= tolerance * there.abs().max()


def test_a_gpu_without_bfloat16_computes_in_float32(monkeypatch):
    """float16 cannot hold what Stage 2 computes."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: False)
    assert fast_dtype.__wrapped__("cuda") == torch.float32


def test_what_is_the_same_at_every_call_is_done_beforehand(network):
    settle(network, torch.bfloat16)
    layers = list(network.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    kept = {x.weight.dtype for x in layers if isinstance(x, nn.Conv2d | nn.Linear)}
    assert kept == {torch.bfloat16}
    assert all(x.weight.dtype == torch.float32 for x in layers if isinstance(x, nn.LayerNorm))


def test_candidates_are_timed_in_turns():
    """Else a burst of other work would hit one of them alone."""
    calls = []
    _seconds(lambda: calls.append("a"), lambda: calls.append("b"))
    assert calls == ["a", "b"] * ROUNDS


def test_slow_candidates_are_timed_a_few_times_only():
    """Where bfloat16 is emulated, nobody waits for it at the start."""
    calls = []

    def slow():
        calls.append("slow")
        time.sleep(LONGEST / 2)

    _seconds(slow, lambda: calls.append("fast"))
    assert calls == ["slow", "fast"] * FEWEST_ROUNDS


def test_measuring_keeps_the_number_of_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fast_dtype.cache_clear()
        fast_dtype("cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
