"""Contextual vectors: states of an encoder that others trained on much text (Peters et al. 2018, Devlin et al. 2019).

B sentences, S source length, L layers, D width of their states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.data.tokenizer import Tokenizer, reading
from weft.errors import WeftError
from weft.models.base import Encoder, Memory, last_of
from weft.nn.dropout import Dropout
from weft.recipe import PretrainedEncoder as EncoderSettings


class Mix(nn.Module):
    """gamma sum_l softmax(w)_l h_l over the embeddings and every layer above them (Peters et al. 2018, equation 1)."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(states))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """L+1 of (B,S,D) -> (B,S,D)."""
        return self.gamma * torch.einsum("l,lbsd->bsd", torch.softmax(self.weights, 0), torch.stack(list(states)))


class Pretrained(Encoder):
    """An encoder that others trained, of Hugging Face transformers.

    Weights that stay as they are are no parameters of the model: no optimiser and no checkpoint has them, and nothing
    is dropped within the network that they belong to.
    """

    def __init__(self, network: nn.Module, config: Any, settings: EncoderSettings) -> None:
        super().__init__()
        self.config = config
        self.trained = settings.trained
        self.pretrained = network if settings.trained else None
        self.beside = [] if settings.trained else [network.eval()]  # a list, so that it is no part of this module
        self.dropout = Dropout(settings.dropout)

    @property
    def network(self) -> nn.Module:
        return self.beside[0] if self.pretrained is None else self.pretrained

    def _apply(self, change: Callable[[Tensor], Tensor], recurse: bool = True) -> Pretrained:
        """Take the weights that are no parameters along to another device or type."""
        for network in cast("list[Any]", self.beside):
            network._apply(change, recurse)
        nn.Module._apply(self, change, recurse)
        return self

    def save_config(self, folder: Path) -> None:
        """Write what is needed to make the encoder again, but for its weights."""
        self.config.save_pretrained(folder)


class PretrainedEncoder(Pretrained):
    """h_1..h_S = BERT(x_1..x_S), or any other encoder of text; the context is the last token's.

    It takes ids of its `Tokenizer`.
    """

    originals: Tensor

    def __init__(self, network: nn.Module, config: Any, settings: EncoderSettings, tokenizer: Tokenizer) -> None:
        """WeftError where the network has no embeddings for all pieces of the tokenizer."""
        super().__init__(network, config, settings)
        self.width = int(self.config.hidden_size)
        self.positions = positions(network, config)
        self.mix = Mix(self.config.num_hidden_layers + 1) if settings.states == "mixed" else None
        self.register_buffer("originals", torch.tensor(tokenizer.originals), persistent=False)
        embedded = len(cast(Any, network).get_input_embeddings().weight)
        if max(tokenizer.originals) >= embedded:
            raise WeftError(
                f"model.encoder.folder: {settings.folder} has embeddings for {embedded} pieces, "
                f"but its tokenizer makes {max(tokenizer.originals) + 1}"
            )

    def forward(self, x: Padded) -> Memory:
        """x.data (B,S), ids -> Memory."""
        if self.positions is not None and x.data.size(1) > self.positions:
            raise WeftError(
                f"the pretrained encoder has {self.positions} positions, but a source has {x.data.size(1)} pieces "
                f"with its end; expected at most that, such as data.max_length: {self.positions - 1}"
            )
        mask = x.mask()
        ids = self.originals[x.data.masked_fill(~mask, Tokenizer.pad)]
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            seen = self.network(ids, attention_mask=mask.long(), output_hidden_states=self.mix is not None)
        values = self.dropout(seen.last_hidden_state if self.mix is None else self.mix(seen.hidden_states))
        return Memory(values, mask, last_of(values, x.lengths))


def positions(network: nn.Module, config: Any) -> int | None:
    """The longest source that an encoder has positions for; None where there is no end."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            before = 0 if module.padding_idx is None else module.padding_idx + 1  # RoBERTa counts from there
            return module.num_embeddings - before
    found: int | None = getattr(config, "max_position_embeddings", None)
    return found


def pretrained(name: str) -> tuple[nn.Module, Any]:
    """The encoder of a folder or of a model on the hub with its weights, in float32, and its config.

    Of a model of images and text, such as CLIP, it is that of the images.

    Raises WeftError where it cannot be read, and where the file lacks weights of it.
    """
    with reading(name) as transformers, torch.random.fork_rng(devices=[]):
        whole, told = transformers.AutoModel.from_pretrained(
            name,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=Path(name).is_dir(),
            trust_remote_code=False,
        )
        network = encoder_of(whole)
    lacking = sorted(lost for lost in told["missing_keys"] if {lost, lost.removeprefix("encoder.")} & names(network))
    if lacking:
        raise WeftError(
            f"model.encoder.folder: {name} lacks weights of a {whole.config.model_type}: '{lacking[0]}'"
            + f" and {len(lacking) - 1} more" * (len(lacking) > 1)
        )
    return network, network.config


def unweighted(folder: Path) -> tuple[nn.Module, Any]:
    """The encoder that the config.json of a model's folder describes, with random weights."""
    if not (folder / "config.json").is_file():
        raise WeftError(f"{folder / 'config.json'} is missing")
    with reading(folder) as transformers, torch.random.fork_rng(devices=[]):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        return encoder_of(transformers.AutoModel.from_config(config, dtype=torch.float32)), config


def encoder_of(whole: Any) -> Any:
    """Of an encoder-decoder its encoder, of images and text that of images, of BERT all but the pool of its states."""
    network: Any = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    network = getattr(network, "vision_model", network)
    pooler = getattr(network, "pooler", None)
    if pooler is not None and any(True for _ in pooler.parameters()):
        network.pooler = None
    return network


def names(network: nn.Module) -> set[str]:
    return {name for name, _ in network.named_parameters()}
