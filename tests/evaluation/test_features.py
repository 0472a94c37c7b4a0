"""Embedding leaves the encoder as it was; what cannot be evaluated is refused in a sentence."""

import copy

import pytest
import torch
from torch import nn

from ownlatent.errors import UsageError
from ownlatent.evaluation.features import check_comparable, check_labelled, embed
from ownlatent.preprocessing import Preprocessing


class Encoder(nn.Module):
    """Batch norm, dropout and one part frozen in eval mode: what a forward pass may disturb."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.frozen = nn.BatchNorm2d(6).eval()
        self.dropout = nn.Dropout(0.5)
        self.batches = []

    def forward(self, pixels):
        self.batches.append(len(pixels))
        x = self.frozen(self.norm(self.convolution(pixels.float())))
        return self.dropout(x.mean((2, 3)))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = Encoder()
    encoder.norm.running_mean.uniform_(-50, 50)  # so that batch statistics would show
    return encoder


@pytest.fixture
def images():
    return torch.randint(0, 256, (11, 3, 8, 8), dtype=torch.uint8)


def test_state_and_modes_are_untouched(encoder, images):
    before = copy.deepcopy(encoder.state_dict())
    encoder.train()
    encoder.frozen.eval()
    embed(encoder, images, batch_size=4)
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert encoder.training and encoder.norm.training and encoder.dropout.training
    assert not encoder.frozen.training


def test_modes_come_back_after_an_error(encoder):
    with pytest.raises(RuntimeError):
        embed(encoder, torch.zeros(2, 5, 8, 8, dtype=torch.uint8))
    assert encoder.norm.training and not encoder.frozen.training


def test_values_are_those_of_eval_mode_whatever_the_batch(encoder, images):
    small = embed(encoder, images, batch_size=3)
    assert encoder.batches == [3, 3, 3, 2]
    with torch.no_grad():
        expected = copy.deepcopy(encoder).eval()(images)
    assert small.shape == (11, 6) and small.dtype == torch.float32
    torch.testing.assert_close(small, expected)
    torch.testing.assert_close(embed(encoder, images, batch_size=11), expected)


@pytest.mark.parametrize(("size", "most"), [(8, 256), (64, 128), (224, 10), (1024, 1)])
def test_large_images_pass_a_cpu_a_few_at_a_time(encoder, size, most):
    """2^19 pixels at most in a pass, or one image; the values do not change."""
    images = torch.randint(0, 256, (most + 1, 3, 8, 8), dtype=torch.uint8)
    encoder.preprocessing = Preprocessing(3, size, 1.0, (0.5,) * 3, (0.2,) * 3)
    made = embed(encoder, images)
    assert encoder.batches == [most, 1]
    assert torch.allclose(made, embed(encoder, images, batch_size=most + 1), atol=1e-4)


def test_sixteen_bits(encoder, images):
    deep = (images.int() * 257).to(torch.uint16)
    torch.testing.assert_close(embed(encoder, deep), embed(encoder, images.int() * 257))


def test_a_set_read_by_row(encoder, images):
    """Its canvases may be squeezed, so the encoder must be told the true sizes."""
    told = torch.arange(22, dtype=torch.int32).view(11, 2)

    class Sized(nn.Module):
        def forward(self, pixels, sizes):
            return torch.cat([encoder(pixels), sizes], dim=1)

    class Rows:
        def __len__(self):
            return len(images)

        def batch(self, rows, device):
            assert rows.dtype == torch.int64 and device == torch.device("cpu")
            return images[rows], told[rows], rows

    encoder.eval()  # here it is no part of what embed is given
    features = embed(Sized(), Rows(), batch_size=4)
    torch.testing.assert_close(features[:, 6:], told.float())
    torch.testing.assert_close(features[:, :6], embed(encoder, images, batch_size=4))


def test_features_can_be_trained_on(encoder, images):
    features = embed(encoder, images)
    assert not features.requires_grad
    nn.Linear(6, 2)(features).sum().backward()  # an inference tensor would raise


def test_refusals(encoder, images):
    with pytest.raises(UsageError, match="no images"):
        embed(encoder, images[:0])
    with pytest.raises(UsageError, match="pool"):
        embed(nn.Identity(), images)


@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        (torch.zeros(3), torch.arange(3), r"\[N, D\]"),
        (torch.zeros(0, 2), torch.arange(0), "at least 1"),
        (torch.zeros(3, 2), None, "no labels"),
        (torch.zeros(3, 2), torch.arange(2), "one label for each"),
        (torch.zeros(3, 2), torch.zeros(3), "integers"),
        (torch.zeros(3, 2), torch.tensor([0, -1, 1]), "1 of 3 training samples are unlabelled"),
        (torch.tensor([[1.0], [float("nan")]]), torch.arange(2), r"NaN.*checkpoint"),
        (torch.tensor([[1.0], [float("inf")]]), torch.arange(2), "1 of 2"),
    ],
)
def test_unusable_samples_are_named(features, labels, words):
    with pytest.raises(UsageError, match=words):
        check_labelled(features, labels, "training")


def test_features_of_two_encoders_are_refused():
    with pytest.raises(UsageError, match="one encoder"):
        check_comparable(torch.zeros(2, 3), torch.zeros(2, 4))
