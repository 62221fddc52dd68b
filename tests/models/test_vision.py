"""Encoders of images that others trained, as the memory of any decoder, and a run on top of one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from encoders import SHAPE, write_bert
from families import DECODERS, random_ids
from shapes import INPUT, write_pictures

import weft
import weft.recipe
from weft.cli.main import main
from weft.data.batch import Pixels
from weft.errors import WeftError
from weft.models.directory import load_encoder, read_tensors, save_encoder
from weft.models.seq2seq import Seq2Seq
from weft.models.vision import VisionEncoder, read_pixels, vision
from weft.recipe import Data, Embedding, ImageInput, Model, Recipe
from weft.recipe import PretrainedEncoder as Settings

transformers = pytest.importorskip("transformers", reason="needs weft[contextual]")

SEEN: dict[str, Any] = {**INPUT, "colour": True, "by": "patches", "patch": [4, 4]}
IMAGE = ImageInput(**SEEN)  # 4 x 12 pixels, a grid of 1 x 3
PIXELS = {"rescale_factor": 1 / 255, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


def write(folder: Path, config: Any) -> str:
    """A network with random weights, as `save_pretrained` writes it, and how it takes pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    return str(folder)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = transformers.ViTConfig(image_size=(4, 12), patch_size=4, **SHAPE)
    return write(tmp_path_factory.mktemp("encoders") / "vit", config)


def encoder(folder: str, image: ImageInput = IMAGE, **settings: Any) -> VisionEncoder:
    return vision(Settings(folder=folder, **{"dropout": 0.0, **settings}), image)


def images(count: int = 3, image: ImageInput = IMAGE) -> Pixels:
    data = torch.randint(256, (count, *image.shape), dtype=torch.uint8)
    return Pixels(data, torch.full((count,), image.positions))


def square(side: int, patch: int) -> ImageInput:
    return ImageInput(kind="image", height=side, width=side, by="patches", patch=(patch, patch))


def test_states_are_those_of_the_network_itself(vit: str) -> None:
    source = images()
    memory = encoder(vit)(source)
    mean, deviation = (torch.tensor(PIXELS[key])[:, None, None] for key in ("image_mean", "image_std"))
    own = transformers.AutoModel.from_pretrained(vit).eval()
    expected = own(pixel_values=(source.data / 255 - mean) / deviation).last_hidden_state
    torch.testing.assert_close(memory.values, expected[:, 1:])
    torch.testing.assert_close(memory.context, expected[:, 0])
    assert memory.mask.shape == (3, 3) and memory.mask.all()


def test_a_grey_image_is_seen_in_all_colours(vit: str) -> None:
    grey = ImageInput(**{**SEEN, "colour": False})
    source = images(2, grey)
    coloured = Pixels(source.data.expand(2, 3, 4, 12), source.lengths)
    torch.testing.assert_close(encoder(vit, grey)(source).values, encoder(vit)(coloured).values)


def test_the_context_is_the_class_token_unless_another_is_asked_for(vit: str) -> None:
    made, source = encoder(vit), images()
    for context, expected in (({}, made(source).context), ({"of": "mean"}, made(source).values.mean(1))):
        parts = Model.model_validate(
            {"width": 16, "input": SEEN, "encoder": {"kind": "pretrained", "folder": vit}, "context": context}
        )
        torch.testing.assert_close(Seq2Seq(parts, 4, 9, pretrained=made).encode(source).context, expected)


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_any_decoder_goes_on_top(vit: str, decoder: str) -> None:
    parts = Model(
        width=12,
        input=IMAGE,
        encoder=Settings(folder=vit, dropout=0.0),
        decoder=DECODERS[decoder],
        embedding=Embedding(dropout=0.0),
    )
    network = Seq2Seq(parts, 4, 9, pretrained=encoder(vit)).double().eval()
    source, fed = images(), random_ids([4, 6, 2], 9)
    features, _ = network(source, fed)
    fixed, state = network.start(source)
    for t in range(6):
        log_probs, _, state = network.step(fed.data[:, t], state, fixed)
        there = fed.lengths > t
        torch.testing.assert_close(log_probs[there], network.output(features[there, t]), rtol=0, atol=1e-10)


SWIN: dict[str, Any] = {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2}
OTHERS: dict[str, tuple[Any, ImageInput]] = {
    "deit": (lambda: transformers.DeiTConfig(image_size=8, patch_size=4, **SHAPE), square(8, 4)),
    "swin": (lambda: transformers.SwinConfig(image_size=32, patch_size=4, **SWIN), square(32, 8)),
    "clip": (
        lambda: transformers.CLIPConfig(
            vision_config={"image_size": 8, "patch_size": 4, **SHAPE},
            text_config={"vocab_size": 11, "bos_token_id": 1, "eos_token_id": 2, **SHAPE},
        ),
        square(8, 4),
    ),
    "convnext": (lambda: transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2), square(32, 8)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_encoders_of_other_families_are_kept_with_all_they_need(kind: str, tmp_path: Path) -> None:
    config, image = OTHERS[kind]
    folder = write(tmp_path / "given", config())
    made, source = encoder(folder, image), images(2, image)
    memory = made(source)
    assert memory.values.shape == (2, image.positions, 16)
    save_encoder(tmp_path / "run", made)
    shutil.rmtree(folder)
    recipe = Recipe(data=Data(train="x"), model=Model(input=image, encoder=Settings(folder=folder, dropout=0.0)))
    kept = load_encoder(tmp_path / "run", recipe, None)  # type: ignore[arg-type]
    assert kept is not None
    torch.testing.assert_close(kept.eval()(source).values, memory.values)


def test_a_position_is_the_patch_in_its_place(tmp_path: Path) -> None:
    """A convolutional network sees a bright corner in that corner of the grid."""
    folder = write(tmp_path / "convnext", OTHERS["convnext"][0]())
    image = ImageInput(kind="image", height=32, width=64, by="patches", patch=(8, 8))
    dark = torch.zeros(1, 3, 32, 64, dtype=torch.uint8)
    lit = dark.clone()
    lit[..., :3, -3:] = 255
    made = encoder(folder, image)
    both = [made(Pixels(data, torch.tensor([32]))).values for data in (dark, lit)]
    moved = (both[0] - both[1]).abs().sum(-1).reshape(4, 8)
    assert moved.argmax() == 7 and moved[3, 0] == 0


def test_what_is_no_encoder_of_images_is_refused(vit: str, tmp_path: Path) -> None:
    with pytest.raises(
        WeftError, match=r"^model\.encoder\.folder: google/vit-base: no such folder; an encoder of images"
    ):
        encoder("google/vit-base")
    with pytest.raises(WeftError, match=r"bert is a bert, which takes input_ids; .* expected an encoder of images"):
        encoder(str(write_bert(tmp_path / "bert")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeftError, match=r"empty cannot be read as an encoder of transformers"):
        encoder(str(tmp_path / "empty"))
    with pytest.raises(WeftError, match=r"vit does not take images of 8 x 8 pixels: Input image size"):
        encoder(vit, square(8, 4))
    with pytest.raises(
        WeftError, match=r"gives 4 states of an image of 4 x 12 pixels, where model\.input\.patch 2 x 2"
    ):
        encoder(vit, ImageInput(**{**SEEN, "patch": [2, 2]}))
    resnet = write(tmp_path / "resnet", transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]))
    with pytest.raises(WeftError, match=r"resnet is a resnet, which normalises over batches, and a run does not keep"):
        encoder(resnet, square(32, 8))


def test_how_pixels_are_taken_is_read_from_either_file(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match=r"preprocessor_config\.json: no such file; it says how"):
        read_pixels(tmp_path)
    given = {"image_processor": {"do_normalize": False, "do_rescale": True, "rescale_factor": 0.5}}
    (tmp_path / "processor_config.json").write_text(json.dumps(given))
    assert read_pixels(tmp_path) == {"rescale_factor": 0.5, "image_mean": [0.0], "image_std": [1.0]}
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [1, 2, 3]}')
    with pytest.raises(WeftError, match=r"preprocessor_config\.json: damaged: KeyError: 'image_std'"):
        read_pixels(tmp_path)


@pytest.mark.parametrize(
    ("part", "settings", "message"),
    [
        ("input", {**SEEN, "by": "convolutions"}, "which sees patches: expected model.input.by: patches"),
        ("encoder", {"kind": "pretrained", "folder": "vit", "states": "mixed"}, "which is for encoders of text"),
        ("decoder", {"kind": "pixels"}, "which no autoencoder has"),
    ],
)
def test_settings_that_it_cannot_have_are_refused(part: str, settings: dict[str, Any], message: str) -> None:
    parts: dict[str, Any] = {
        "input": SEEN,
        "encoder": {"kind": "pretrained", "folder": "vit"},
        "decoder": {"kind": "rnn"},
        part: settings,
    }
    with pytest.raises(WeftError, match=re.escape(message)):
        weft.recipe.checked({"data": {"train": "x.tsv"}, "model": parts}, "test")


def recipe_file(folder: Path, vit: Path, trained: bool) -> Path:
    settings = {
        "out": str(folder / "runs"),
        "data": {"train": str(write_pictures(folder, 24)), "dev_fraction": 0.2},
        "vocabulary": {"target": {"kind": "word", "size": 10}},
        "model": {
            "width": 16,
            "input": SEEN,
            "encoder": {"kind": "pretrained", "folder": str(vit), "trained": trained},
            "decoder": {"kind": "rnn", "width": 16, "attention": {"width": 8}},
        },
        "training": {"steps": 3, "batch_tokens": 32, "threads": 1, "save_every": 2, "average": 0},
        "validation": {"every": 3, "metrics": ["exact_match"]},
        "search": {"beam": 1},
    }
    path = folder / "seen.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.parametrize("trained", [False, True], ids=["kept", "trained"])
def test_a_run_has_all_that_using_it_needs_once(
    vit: str, tmp_path: Path, trained: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, run = tmp_path / "vit", tmp_path / "runs" / "seen"
    shutil.copytree(vit, given)
    weft.train(recipe_file(tmp_path, given, trained), "training.steps=2", say=lambda line: None)
    shutil.rmtree(given)
    weft.train(run, "training.steps=3", say=lambda line: None)
    kept = {file.name for file in (run / "encoder").iterdir()}
    assert kept == {"config.json", "preprocessor_config.json"} | ({"model.safetensors"} if not trained else set())
    name = "embeddings.cls_token"
    there, ours = read_tensors(Path(vit) / "model.safetensors")[name], read_tensors(run / "model.safetensors")
    if trained:
        assert not torch.equal(ours[f"encoder.pretrained.{name}"], there)
    else:
        assert not any("cls_token" in tensor for tensor in ours)
        assert torch.equal(read_tensors(run / "encoder" / "model.safetensors")[name], there)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    model = weft.load(run)
    found = model.predict(["images/00.png"], attention=True)[0]
    assert found.source_tokens == ["1,1", "1,2", "1,3"]
    assert found.attention is not None and found.attention.shape[1] == 3
    assert model.vectors(["images/00.png"]).shape == (1, 16)
    with pytest.raises(SystemExit) as end:
        main(["look", str(run), "--attention", "images/00.png", "--out", "overlay.png"])
    assert not end.value.code and Path("overlay.png").stat().st_size > 1000
    capsys.readouterr()
