"""Fine-tuning: what is trained, from which labels, and with which of them it is scored."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import ownlatent as ol
from ownlatent.data import as_canvases
from ownlatent.encoder import Encoder
from ownlatent.evaluation.finetune import Schedule, finetune
from ownlatent.networks import Middle, backbone
from ownlatent.preprocessing import Preprocessing

SETTINGS = Preprocessing(3, 12, 1.0, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory):
    """Dark and bright images: what any network learns at once."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 2
    pixels = torch.randint(0, 90, (120, 3, 12, 12), generator=generator, dtype=torch.uint8)
    pixels += (labels * 150)[:, None, None, None].to(torch.uint8)
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=pixels.numpy(), labels=labels.numpy())
    return as_canvases(str(path), view_size=12, labelled=True)


def encoder(middle: bool = False) -> Encoder:
    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, 12)
    if middle:
        net = Middle.blank(net, hidden=16, bias=False)
    return Encoder(net, "small-resnet", SETTINGS)


@pytest.mark.parametrize("middle", [False, True])
def test_learns_and_leaves_the_encoder_as_it_was(squares, middle: bool) -> None:
    net = encoder(middle).eval()
    before = copy.deepcopy(net.state_dict())
    rows = torch.arange(120)
    result = finetune(
        net,
        squares,
        rows[:80],
        squares,
        rows[80:],
        rates=(0.05, 0.2),
        schedule=Schedule(epochs=8, batch_size=16),
    )
    assert result.accuracy > 0.9
    assert (result.n_train, result.n_test, set(result.held_out)) == (80, 40, {0.05, 0.2})
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    again = finetune(
        net,
        squares,
        rows[:80],
        squares,
        rows[80:],
        rates=(0.05, 0.2),
        schedule=Schedule(epochs=8, batch_size=16),
    )
    assert again == result


def test_everything_is_trained(squares) -> None:
    from ownlatent.evaluation.finetune import _Fitting

    net = encoder()
    fitting = _Fitting(net, squares, 2, Schedule(epochs=1), 0, torch.device("cpu"))
    tuned = fitting.fit(torch.arange(80), squares.labels[:80], 0.1)
    old, new = dict(net.named_parameters()), dict(tuned[0].named_parameters())
    assert all(not torch.equal(old[name], new[name]) for name in old)


def test_through_evaluate_with_few_labels(squares, tmp_path: Path) -> None:
    from ownlatent.encoder import EncoderFolder

    EncoderFolder.write(tmp_path / "encoder", {"online": encoder()})
    report = ol.evaluate(
        tmp_path, squares, protocols=["finetune@5-shot", "sgd@50%"], epochs=2,
        splits=tmp_path / "splits",
    )  # fmt: skip
    found = {(row["features"], row["protocol"]): row["n_train"] for row in report["results"]}
    names = ("ENCODER (online)", "random initialisation")
    assert {key for key in found if key[1].startswith("fine")} == {
        (name, "fine-tuning, 5-shot") for name in names
    }
    assert found["raw pixels", "linear probe (SGD), 50% of labels"] == 48
    assert found["ENCODER (online)", "fine-tuning, 5-shot"] == 10
    lines = (tmp_path / "splits" / "5-shot.tsv").read_text().splitlines()
    assert (
        len(lines) == 10 and sorted(line.split("\t")[1] for line in lines) == ["0"] * 5 + ["1"] * 5
    )


def test_mistakes_are_one_sentence(squares) -> None:
    rows = torch.arange(120)
    with pytest.raises(ol.UsageError, match="two classes"):
        finetune(encoder(), squares, rows[::2], squares, rows)
    with pytest.raises(ol.UsageError, match="learning rates"):
        finetune(encoder(), squares, rows, squares, rows, rates=())
    with pytest.raises(ol.UsageError, match="linear@1%"):
        ol.evaluate("nowhere", squares, protocols=["lienar"])
