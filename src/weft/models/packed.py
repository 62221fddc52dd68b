"""A trained model made ready for search on a CPU: the same numbers, in few calls a step.

What a step costs beside its products is the calls: here are no modules, queries, keys and values come from one
product, and what was said stays where it was written. Encoders and decoders that are not known here stay as they are.

B sentences, K hypotheses, N = B*K, S source length, D width, M width of the memory; H heads, G heads of keys and
values, d width of a head; U places of what was said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from weft.data.batch import Padded
from weft.models.base import Memory
from weft.models.folded import Folding, OneSource
from weft.models.key_values import KeyValues
from weft.models.packed_layers import CrossAttention, EncoderLayer, FeedForward, Now, Recurrence, SelfAttention, norm_of
from weft.models.product import Product, Weights, product
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer import DecoderLayer as DecoderLayerModule
from weft.models.transformer import EncoderLayer as EncoderLayerModule
from weft.models.transformer import HeadsOnSource, TransformerDecoder, TransformerEncoder
from weft.nn.ends import SoftmaxOutput, TokenInput
from weft.nn.multi_head import unseen
from weft.nn.ssru import SSRU


class Inputs:
    """Embeddings, and the positions that are added to them."""

    def __init__(self, tokens: TokenInput, position: nn.Module) -> None:
        self.tokens = tokens
        self.rows: Callable[[int, int], Tensor] | None = getattr(position, "rows", None)

    def __call__(self, ids: Tensor, start: int) -> Tensor:
        """(B,T) at positions start, start+1, ... -> (B,T,D)."""
        if self.rows is None:
            return cast(Tensor, self.tokens(ids))
        rows = self.rows(start, start + ids.size(1))
        if self.tokens.project is not None:
            return cast(Tensor, self.tokens(ids)) + rows
        return torch.add(rows, torch.embedding(self.tokens.embedding.weight, ids), alpha=self.tokens.factor)


class PackedEncoder:
    def __init__(self, tokens: TokenInput, module: TransformerEncoder, weights: Weights) -> None:
        self.inputs = Inputs(tokens, module.position)
        self.layers = [EncoderLayer(cast(EncoderLayerModule, layer), weights) for layer in module.layers]
        self.norm = norm_of(module.norm)

    def __call__(self, source: Padded) -> Memory:
        mask, sentences = source.mask(), len(source)
        x = self.inputs(source.data, 0).flatten(0, 1)
        padding = None if bool(mask.all()) else unseen(mask[:, None, None], x)
        for layer in self.layers:
            x = layer(x, sentences, padding)
        values = self.norm(x).view(sentences, -1, x.size(1))
        return Memory(values, mask, values[torch.arange(sentences), source.lengths - 1])


class PackedFixed(NamedTuple):
    said: KeyValues | None  # None where all layers are recurrent
    source: KeyValues | OneSource | None  # None where no layer looks at it
    padding: Tensor | None  # (B,1,S) 0 or -inf; None where there is none
    every: Tensor | None  # (B,D), what the context adds to the input of every step


class PackedState(NamedTuple):
    step: int  # so many were made
    seen: Tensor  # (N,U) 0 at the places of what this hypothesis said, -inf at others'
    layers: tuple[Tensor, ...]  # of each recurrent layer (N,D)


class PackedDecoder:
    """The steps of a TransformerDecoder."""

    def __init__(self, tokens: TokenInput, module: TransformerDecoder, weights: Weights) -> None:
        self.module = module
        self.inputs = Inputs(tokens, module.position)
        self.layers = [PackedLayer(cast(DecoderLayerModule, layer), weights) for layer in module.layers]
        self.past = next((layer.past for layer in self.layers if isinstance(layer.past, SelfAttention)), None)
        self.norm = norm_of(module.norm)
        self.before = 0 if module.first is None else 1  # positions of the context, before the first token
        self.of_source = [layer.attention for layer in self.modules() if isinstance(layer.attention, HeadsOnSource)]
        self.keys = product(*[heads.key_value for heads in self.of_source], weights=weights) if self.of_source else None
        self.folding = Folding(self.of_source) if self.of_source else None

    def modules(self) -> list[DecoderLayerModule]:
        return [cast(DecoderLayerModule, layer) for layer in self.module.layers]

    def init(self, memory: Memory) -> tuple[PackedFixed, PackedState]:
        sentences, width = len(memory.values), self.module.width
        every = None if self.module.every is None else self.module.every(memory.context)
        padding = None
        if self.keys is not None and not bool(memory.mask.all()):
            padding = unseen(memory.mask[:, None], memory.values)
        said, like = None, memory.values
        if self.past is not None:
            said = KeyValues.of_nothing(
                len(self.layers), sentences, self.past.asked.groups, self.past.asked.width, like
            )
        fixed = PackedFixed(said, self.source(memory, padding is not None), padding, every)
        recurrent = sum(isinstance(layer.past, Recurrence) for layer in self.layers)
        state = PackedState(0, like.new_zeros(sentences, 0), (like.new_zeros(sentences, width),) * recurrent)
        if self.module.first is not None:
            _, _, state = self.run(self.module.first(memory.context), state, fixed, -1)
            state = state._replace(step=0, seen=like.new_zeros(sentences, 1))
        return fixed, state

    def source(self, memory: Memory, padded: bool) -> KeyValues | OneSource | None:
        """Keys and values of the source, of all layers; those of one short sentence are folded."""
        if self.keys is None or self.folding is None:
            return None
        if memory.compared is None:
            both = self.keys(memory.values.flatten(0, 1)).view(*memory.mask.shape, len(self.of_source), 2, -1)
        else:
            both = torch.stack([heads.of(memory).unflatten(-1, (2, -1)) for heads in self.of_source], 2)
        both = both.unflatten(-1, (-1, self.of_source[0].width))  # (B,S,L,2,G,d)
        found = KeyValues(both.permute(2, 3, 0, 4, 1, 5).contiguous(), memory.mask.size(1))
        sentences, length = memory.mask.shape
        folds = sentences == 1 and not padded and self.folding.pays(length)
        return self.folding(found) if folds else found

    def run(
        self, x: Tensor, state: PackedState, fixed: PackedFixed, step: int
    ) -> tuple[Tensor, Tensor | None, PackedState]:
        """x (N,D) -> features (N,D), weights (N,H,S) of the last layer or None, the next state."""
        said, source, count = fixed.said, fixed.source, x.size(0)
        seen, told, recurrent, after = state.seen, Now(step + self.before, None, None), iter(state.layers), []
        if said is not None:
            seen, told = self.places(seen, said, count, told.position)
        looked = None
        for number, layer in enumerate(self.layers):
            if isinstance(layer.past, Recurrence):
                x, now = layer.past(x, next(recurrent))
                after.append(now)
            elif said is not None:
                x = layer.past(x, said, number, told)
            if layer.attention is None:
                pass
            elif isinstance(source, OneSource):
                x, looked = layer.attention.alone(x, *source.layers[number])
            elif source is not None:
                keys, values = source.keys[number], source.values[number]
                x, looked = layer.attention(x, keys, values, fixed.padding, source.sentences)
            x = layer.feed_forward(x)
        if said is not None:
            said.taken += count // said.sentences
        weights = looked
        if isinstance(source, KeyValues) and looked is not None and self.layers[-1].attention is not None:
            weights = self.layers[-1].attention.asked.joined(looked, count).view(count, -1, looked.size(-1))
        return self.norm(x), weights, PackedState(step + 1, seen, tuple(after))

    def places(self, seen: Tensor, said: KeyValues, rows: int, position: int) -> tuple[Tensor, Now]:
        """Room for what is said now: seen with it (N,U), and what the layers are told of it."""
        count = rows // said.sentences
        if count == 1:
            if not said.has_room(1):
                said.make_room(1, None)
            return seen, Now(position, None, None)
        if not said.has_room(count):
            seen = cast(Tensor, said.make_room(count, seen))
        own = seen.new_full((count, count), -torch.inf).fill_diagonal_(0.0).repeat(said.sentences, 1)
        seen, distances = torch.cat([seen, own], 1), None
        if self.past is not None and self.past.relative is not None:
            distances = self.past.relative.of_places(said.dated(count, position), position)
        return seen, Now(position, seen.view(said.sentences, 1, count, 1, -1), distances)

    def step(self, ids: Tensor, state: PackedState, fixed: PackedFixed) -> tuple[Tensor, Tensor | None, PackedState]:
        """ids (N,) -> features (N,D), weights (N,H,S) or None, the next state."""
        x = self.inputs(ids[:, None], state.step)[:, 0]
        if fixed.every is not None:
            x = x + fixed.every.repeat_interleave(len(x) // len(fixed.every), 0)
        return self.run(x, state, fixed, state.step)


class PackedLayer:
    def __init__(self, module: DecoderLayerModule, weights: Weights) -> None:
        past = module.self_attention
        self.past: SelfAttention | Recurrence = (
            Recurrence(past, module.around_self, weights)
            if isinstance(past, SSRU)
            else SelfAttention(past, module.around_self, weights)
        )
        self.attention: CrossAttention | None = None
        if isinstance(module.attention, HeadsOnSource) and module.around_attention is not None:
            self.attention = CrossAttention(module.attention, module.around_attention, weights)
        self.feed_forward = FeedForward(module.feed_forward, weights)


class Packed:
    """A StepModel of what a network has learnt; what the network learns afterwards it does not know."""

    def __init__(self, network: Seq2Seq, weights: Weights) -> None:
        self.network = network
        self.encoder: PackedEncoder | None = None
        self.decoder: PackedDecoder | None = None
        tokens, encoder = network.source_input, network.encoder
        if type(tokens) is TokenInput and isinstance(encoder, TransformerEncoder):
            self.encoder = PackedEncoder(tokens, encoder, weights)
        if isinstance(network.decoder, TransformerDecoder) and is_known(network.decoder):
            self.decoder = PackedDecoder(cast(TokenInput, network.target_input), network.decoder, weights)
        self.output: Product | None = None
        if type(network.output) is SoftmaxOutput:
            self.output = product(network.output.projection, weights=weights)

    def encode(self, source: Padded) -> Memory:
        if self.encoder is None:
            return self.network.encode(source)
        return self.network.completed(self.encoder(source), source)

    @torch.inference_mode()
    def start(self, source: Padded) -> tuple[Any, Any]:
        decoder = self.decoder or self.network.decoder
        fixed, state = decoder.init(self.encode(source))
        return (fixed, source.data), state

    @torch.inference_mode()
    def step(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        features, weights, state = self.advance(tokens, state, fixed)
        if self.output is not None:
            scores = self.output(features)
            return torch.log_softmax(scores, -1, out=scores), weights, state
        source = fixed[1]
        if len(source) != len(tokens):
            source = source.repeat_interleave(len(tokens) // len(source), 0)
        return self.network.output(features, weights, source), weights, state

    def advance(self, tokens: Tensor, state: Any, fixed: Any) -> tuple[Tensor, Tensor | None, Any]:
        """tokens (N,) -> what the output end is given: features (N,D), weights (N,H,S) or None; the next state."""
        if self.decoder is None:
            return self.network.advance(tokens, state, fixed)
        return self.decoder.step(tokens, state, fixed[0])


def is_known(decoder: TransformerDecoder) -> bool:
    """Whether its layers are among those here: they look at the source with heads alone, if at all."""
    looks = [cast(DecoderLayerModule, layer).attention for layer in decoder.layers]
    return all(look is None or isinstance(look, HeadsOnSource) for look in looks)
