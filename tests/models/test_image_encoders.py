"""Images through every kind of encoder: the same contract as for tokens."""

import pytest
import torch
from families import DECODERS, ENCODERS, random_ids

from weft.data.batch import Batch, Pixels
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Embedding, IdentityEncoder, ImageInput, Model
from weft.search.choosers import Greedy
from weft.search.hypothesis import Limits
from weft.search.run import search

INPUT = ImageInput(height=4, width=12, colour=False, channels=[4, 4], pool=[(2, 2), (1, 2)], dropout=0.0)
ALL = ["gru", "conv", "pre", "modern", "identity"]


def model(encoder, decoder="gru", context=None):
    settings = Model(
        width=12,
        input=INPUT,
        encoder=IdentityEncoder() if encoder == "identity" else ENCODERS[encoder],
        decoder=DECODERS[decoder].model_copy(update={"attention": None}) if context else DECODERS[decoder],
        embedding=Embedding(dropout=0.0),
        **({"context": context} if context else {}),
    )
    return Seq2Seq(settings, 9, 9).double().eval()


def images(count):
    return Pixels(
        torch.randint(0, 256, (count, *INPUT.shape), dtype=torch.uint8), torch.full((count,), INPUT.positions)
    )


@pytest.mark.parametrize("encoder", ALL)
def test_an_image_alone_gives_what_it_gives_in_a_batch(encoder):
    network, source, fed = model(encoder), images(3), random_ids([4, 2, 3], 9)
    features, weights = network(source, fed)
    assert weights.shape[2:] == (4, INPUT.positions)
    alone, _ = network(source.part(torch.tensor([1])), fed.part(torch.tensor([1])))
    assert torch.allclose(features[1, :2], alone[0], atol=1e-10)


@pytest.mark.parametrize("decoder", ["gru", "pre", "conv"])
@pytest.mark.parametrize("encoder", ["pre", "identity"])
def test_all_steps_at_once_give_what_each_gives(encoder, decoder):
    network, source, fed = model(encoder, decoder), images(2), random_ids([5, 5], 9)
    features, _ = network(source, fed)
    expected = network.output(features)
    fixed, state = network.start(source)
    for time in range(5):
        said, weights, state = network.step(fed.data[:, time], state, fixed)
        assert torch.allclose(said, expected[:, time], atol=1e-10)
        assert weights.shape[-1] == INPUT.positions


@pytest.mark.parametrize("encoder", ["gru", "identity"])
def test_a_caption_may_come_from_the_vector_alone(encoder):
    network, source, fed = model(encoder, context={"given": "both"}), images(2), random_ids([3, 3], 9)
    features, weights = network(source, fed)
    assert weights is None
    other, _ = network(images(2), fed)
    assert not torch.allclose(features, other)


def test_search_gives_the_weights_of_the_grid():
    network = model("identity")
    limits = Limits(2, 3, [4, 4], 1.0, 0.0, 1, True)
    found = search(network, images(2), Greedy(), limits)
    for (hypothesis,) in found:
        assert hypothesis.attention.shape[1] == INPUT.positions
        assert torch.allclose(hypothesis.attention.sum(1), torch.ones(len(hypothesis.attention)).double())


def test_every_parameter_learns():
    network, source = model("identity").train(), images(2)
    ids = random_ids([3, 3], 9)
    loss, _ = network.loss(Batch(source, ids, ids, None), 0.0)
    loss.backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == set()
