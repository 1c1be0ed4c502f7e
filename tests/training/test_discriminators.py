import pytest
import torch
from torch import nn

from faceinpaint.semantics import NUM_CLASSES, one_hot
from faceinpaint.training.discriminators import (
    PatchCritic,
    ProjectedDiscriminator,
    gradient_penalty,
    hinge_discriminator_loss,
    hinge_generator_loss,
)


def test_hinge_losses_by_hand():
    real = [torch.tensor([2.0, 0.0, -9.0]).view(1, 1, 1, 3), torch.tensor([-1.0]).view(1, 1, 1, 1)]
    fake = [torch.tensor([-2.0, 0.5, 9.0]).view(1, 1, 1, 3), torch.tensor([1.0]).view(1, 1, 1, 1)]
    # The third place lies outside the hole and does not count.
    holes = [torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 1, 3), torch.ones(1, 1, 4, 4)]
    # Real: max(0, 1 - r) is 0 and 1, then 2; fake: max(0, 1 + f) is 0 and 1.5, then 2.
    assert float(hinge_discriminator_loss(real, fake, holes)) == pytest.approx(((0.5 + 0.75) + (2 + 2)) / 2)
    assert float(hinge_generator_loss(fake, holes)) == pytest.approx((0.75 - 1) / 2)


class Linear(nn.Module):
    """A critic whose gradient has the same norm everywhere."""

    def __init__(self, norm):
        super().__init__()
        weight = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(norm * weight / weight.norm())

    def forward(self, x):
        return (x * self.weight).sum((1, 2, 3), keepdim=True)


@pytest.mark.parametrize(("norm", "penalty"), [(1, 0), (3, 4), (0.5, 0.25)])
def test_the_gradient_penalty_of_a_linear_critic(norm, penalty):
    real, fake = torch.randn(2, 5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    value = gradient_penalty(Linear(norm), real, fake, torch.Generator().manual_seed(2))
    assert float(value.detach()) == pytest.approx(penalty, abs=1e-5)


def test_the_gradient_penalty_is_taken_between_real_and_fake():
    class Square(nn.Module):
        def forward(self, x):
            self.seen = x.detach()
            return x.square().sum((1, 2, 3), keepdim=True)

    real, fake = torch.zeros(6, 1, 2, 2), torch.ones(6, 1, 2, 2)
    critic = Square()
    penalty = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    assert (critic.seen == critic.seen[:, :, :1, :1]).all()
    assert ((critic.seen > 0) & (critic.seen < 1)).all()
    assert len(critic.seen[:, 0, 0, 0].unique()) == 6
    assert torch.allclose(penalty, (4 * critic.seen[:, 0, 0, 0] - 1).square().mean(), atol=1e-5)


def test_training_the_penalty_brings_the_slope_to_one():
    critic = Linear(3)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.2)
    real, fake = torch.randn(2, 5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(20):
        optimizer.zero_grad()
        gradient_penalty(critic, real, fake, torch.Generator().manual_seed(2)).backward()
        optimizer.step()
    assert float(critic.weight.detach().norm()) == pytest.approx(1, abs=0.01)


def test_the_patch_critic_judges_patches():
    torch.manual_seed(0)
    critic = PatchCritic(5, width=4)
    x = torch.randn(2, 5, 128, 64)
    verdict = critic(x)
    assert verdict.shape == (2, 1, 8, 4)
    changed = x.clone()
    changed[0, :, :8, :8] += 1
    difference = (critic(changed) - verdict).abs().detach()
    assert difference[0, 0, 0, 0] > 0
    # Far patches and other samples, as no batch statistics tie them, do not change.
    assert difference[0, 0, -1].max() == 0
    assert difference[1].max() == 0


class TestProjectedDiscriminator:
    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return ProjectedDiscriminator((6, 10), width=8).eval()

    @pytest.fixture
    def features(self):
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(2, 6, 16, 16, generator=generator), torch.randn(2, 10, 8, 8, generator=generator)]

    @pytest.fixture
    def layouts(self):
        labels = torch.randint(0, NUM_CLASSES, (2, 32, 32), generator=torch.Generator().manual_seed(1))
        return [one_hot(labels)] * 2

    def test_one_verdict_map_a_head(self, network, features, layouts):
        assert [v.shape for v in network(features, layouts)] == [(2, 1, 8, 8), (2, 1, 4, 4)]

    def test_it_judges_by_features_and_layout(self, network, features, layouts):
        verdicts = network(features, layouts)
        for others in (
            network([-f for f in features], layouts),
            network(features, [x.flip(1) for x in layouts]),
        ):
            assert all(not torch.equal(a, b) for a, b in zip(verdicts, others, strict=True))

    def test_it_learns_to_tell_real_from_fake(self, network, features, layouts):
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
        fake = [f + 1 for f in features]
        for _ in range(40):
            verdicts = network(features, layouts), network(fake, layouts)
            loss = hinge_discriminator_loss(*verdicts, [torch.ones_like(v) for v in verdicts[0]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        # Without knowing anything it is 2.
        assert loss < 1
