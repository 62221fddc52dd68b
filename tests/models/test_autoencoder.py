import numpy as np
import pytest
import torch

from weft.data.batch import Batch, Pixels, pad
from weft.models.autoencoder import Autoencoder, network
from weft.models.seq2seq import Seq2Seq
from weft.recipe import IdentityEncoder, ImageInput, Model, PixelDecoder, RecurrentEncoder

INPUT = ImageInput(height=4, width=6, colour=True, channels=[4], pool=[(2, 2)], dropout=0.0)


def autoencoder(encoder=None, **decoder):
    settings = Model(
        width=10, input=INPUT, encoder=encoder or IdentityEncoder(), decoder=PixelDecoder(vector=5, **decoder)
    )
    made = network(settings, 9, 9).double().eval()
    assert isinstance(made, Autoencoder)
    return made


def images(count):
    data = torch.randint(0, 256, (count, *INPUT.shape), dtype=torch.uint8)
    return Pixels(data, torch.full((count,), INPUT.positions))


@pytest.mark.parametrize("encoder", [None, RecurrentEncoder(width=6, dropout=0.0)])
def test_an_image_goes_through_one_vector(encoder):
    model, source = autoencoder(encoder), images(3)
    vectors = model.encode(source).context
    assert vectors.shape == (3, model.vector_width) == (3, 5)
    back = model.decode(vectors)
    assert back.shape == source.data.shape
    assert ((back > 0) & (back < 1)).all()
    alone = model.encode(source.part(torch.tensor([2]))).context
    assert torch.allclose(alone[0], vectors[2], atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("loss", ["squared", "entropy"])
def test_the_loss_is_the_mean_of_each_image_and_adds_up(loss):
    model, source = autoencoder(loss=loss, layers=2, width=7), images(4)
    gold = pad([[5], [5], [5], [5]], last=3)
    batch = Batch(source, gold, gold, np.arange(4))
    total, count = model.loss(batch, 0.1)
    back, wanted = model.decode(model.encode(source).context).numpy(), source.data.numpy() / 255
    errors = {
        "squared": (back - wanted) ** 2,
        "entropy": -(wanted * np.log(back) + (1 - wanted) * np.log(1 - back)),
    }[loss]
    assert float(total) / int(count) == pytest.approx(errors.mean())
    parts = [model.loss(part, 0.1) for part in batch.parts(2)]
    assert sum(float(part) for part, _ in parts) == pytest.approx(float(total))
    assert sum(int(number) for _, number in parts) == int(count) == 8


def test_other_decoders_are_not_autoencoders():
    assert type(network(Model(width=8), 9, 9)) is Seq2Seq
