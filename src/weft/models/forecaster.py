"""A series looked back at, an encoder, a decoder, forecasts: any encoder with any decoder, or one matrix for all.

B windows, S rows looked back at, T rows ahead, C columns, K columns known ahead. The network sees N windows of c
columns: all together (N = B, c = C), or each column alone (N = B*C, c = 1). A decoder says P rows a step, in J steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weft.data.batch import Batch, Padded
from weft.models.base import Decoder, Memory
from weft.models.nothing import Nothing
from weft.models.rnn import RecurrentEncoder
from weft.models.seq2seq import decoder, encoder
from weft.nn.context import Summary
from weft.nn.dropout import Dropout
from weft.nn.values import Frame, ValuesInput, carried, framed, loss_of
from weft.recipe import DirectDecoder, Model
from weft.recipe import ValuesInput as InputSettings
from weft.recipe import ValuesOutput as OutputSettings

Mix = Callable[[Tensor, Tensor], Tensor]  # what was said (N,P*c) and what is so (N,P*c) -> what is fed next


class Shape(NamedTuple):
    """What a forecaster is made for."""

    columns: int  # C
    known: int  # K
    look_back: int  # S
    horizon: int  # T
    missing: bool  # whether it is told which values were missing


class Steps(NamedTuple):
    """What a decoder is fed, J steps of P rows; the values of a step are those of the P rows before it."""

    values: Tensor  # (N,J,P*c)
    known: Tensor  # (N,J,P*K)


Feed = Callable[["Forecaster", Memory, Steps], Tensor]


class Forecaster(nn.Module):
    """Numbers in, numbers out; both in the scale of the training part."""

    def __init__(self, settings: Model, shape: Shape) -> None:
        super().__init__()
        assert isinstance(settings.input, InputSettings) and isinstance(settings.output, OutputSettings)
        self.settings: InputSettings = settings.input
        self.output_settings: OutputSettings = settings.output
        self.shape = shape
        self.alone = self.settings.channels == "independent"
        self.quantiles = settings.output.quantiles if settings.output.loss == "quantile" else [0.5]
        self.patch = settings.output.patch
        columns = 1 if self.alone else shape.columns
        features = columns * (2 if shape.missing else 1) + shape.known
        self.encoder = encoder(settings)
        looks = not isinstance(self.encoder, Nothing)
        self.source_input: ValuesInput | None = None
        positions = shape.look_back
        if looks:
            patch = self.settings.patch
            step = self.settings.step or patch
            self.source_input = ValuesInput(features, settings.width, patch, step, self.settings.dropout)
            positions = self.source_input.positions(shape.look_back)
        width = self.encoder.width if looks else features
        recurrent = isinstance(self.encoder, RecurrentEncoder)
        self.summary = Summary(settings.context.of or ("last" if recurrent else "mean"), width)
        said = columns * len(self.quantiles)
        self.direct: Direct | None = None
        if isinstance(settings.decoder, DirectDecoder):
            self.direct = Direct(width, positions, shape, said, settings.decoder)
        else:
            self.target_input = ValuesInput(
                self.patch * (columns + shape.known), settings.width, 1, 1, self.settings.dropout
            )
            self.decoder: Decoder[Any, Any] = decoder(settings, width, 0)
            self.output = nn.Linear(settings.width, self.patch * said)

    def loss(self, batch: Batch, smoothing: float = 0.0, feed: Feed | None = None) -> tuple[Tensor, Tensor]:
        """The loss summed over the values that are there, and their number; `smoothing` is of tokens alone."""
        memory, frame = self.encode(batch.source)
        forecast = self.said(memory, frame, batch.fed, feed or teacher_forcing)
        return self.loss_of(forecast, batch.gold.data)

    def loss_of(self, forecast: Tensor, gold: Tensor) -> tuple[Tensor, Tensor]:
        """forecast (B,T,C,Q), gold (B,T,C) -> as `loss`."""
        output = self.output_settings
        return loss_of(output.loss, forecast, gold, self.quantiles, output.delta)

    def forecast(self, source: Padded, fed: Padded) -> Tensor:
        """source (B,S,C+K), fed (B,T,C+K), whose first P rows of values and whose known columns count -> (B,T,C,Q)."""
        memory, frame = self.encode(source)
        return self.said(memory, frame, fed, free_running)

    def point(self, forecast: Tensor) -> Tensor:
        """(...,Q) -> (...), the median of quantiles or the one number."""
        return forecast[..., self.quantiles.index(0.5)]

    def encode(self, source: Padded) -> tuple[Memory, Frame]:
        """source (B,S,C+K) -> what the decoder may know of it, and what its values are relative to."""
        values, known = self.windows(source.data)
        frame = framed(values, self.settings.normalize)
        features = [frame.into(carried(values)).nan_to_num(), known]
        if self.shape.missing:
            features.insert(1, values.isnan().to(values.dtype))
        x = torch.cat(features, -1)
        if self.source_input is None:
            mask = torch.ones_like(x[..., 0], dtype=torch.bool)
            return Memory(x, mask, x[:, -1]), frame
        entered = self.source_input(x)
        lengths = torch.full((len(entered),), entered.size(1), device=source.lengths.device)
        memory: Memory = self.encoder(Padded(entered, lengths))
        return replace(memory, context=self.summary(memory.values, memory.mask, memory.context)), frame

    def windows(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """(B,S,C+K) -> values (N,S,c), known (N,S,K)."""
        columns = self.shape.columns
        values, known = data[..., :columns], data[..., columns:]
        if self.alone:
            values = values.transpose(1, 2).flatten(0, 1)[..., None]
            known = known.repeat_interleave(columns, 0)
        return values, known

    def said(self, memory: Memory, frame: Frame, fed: Padded, feed: Feed) -> Tensor:
        """(B,T,C,Q)"""
        rows = fed.data.size(1)
        values, known = self.windows(fed.data)
        if self.direct is not None:
            said = self.direct(memory, known)
        else:
            values = frame.into(carried(values)).nan_to_num()
            said = feed(self, memory, Steps(self.by_step(values), self.by_step(known)))
        by_column = said.unflatten(-1, (-1, values.size(-1), len(self.quantiles))).flatten(1, 2)[:, :rows]
        forecast = frame.back(by_column)
        if self.alone:
            forecast = forecast[:, :, 0].unflatten(0, (-1, self.shape.columns)).transpose(1, 2)
        return forecast

    def by_step(self, x: Tensor) -> Tensor:
        """(N,T,c) -> (N,J,P*c), zeros where the last step goes beyond the horizon."""
        steps = math.ceil(x.size(1) / self.patch)
        whole = F.pad(x, (0, 0, 0, steps * self.patch - x.size(1)))
        return whole.reshape(len(x), steps, self.patch * x.size(2))

    def entered(self, values: Tensor, known: Tensor) -> Tensor:
        """(N,J,P*c), (N,J,P*K) -> (N,J,D)."""
        entered: Tensor = self.target_input(torch.cat([values, known], -1))
        return entered

    def roll_out(self, memory: Memory, steps: Steps, mix: Mix | None = None) -> Tensor:
        """Step by step, (N,J,P*c*Q): each step is fed what the one before said, or what `mix` makes of it."""
        fixed, state = self.decoder.init(memory)
        fed, all_said = steps.values[:, 0], []
        for place, known in enumerate(steps.known.unbind(1)):
            entered = self.entered(fed[:, None], known[:, None])[:, 0]
            features, _, state = self.decoder.step(entered, state, fixed)
            all_said.append(self.output(features))
            fed = self.next(all_said[-1])
            if mix is not None and place + 1 < steps.values.size(1):
                fed = mix(fed, steps.values[:, place + 1])
        return torch.stack(all_said, 1)

    def next(self, said: Tensor) -> Tensor:
        """(...,P*c*Q) -> the values (...,P*c) that are fed after it."""
        return self.point(said.unflatten(-1, (-1, len(self.quantiles))))


def teacher_forcing(model: Forecaster, memory: Memory, steps: Steps) -> Tensor:
    """Every step is fed what is so."""
    features, _ = model.decoder(model.entered(*steps), memory, False)
    said: Tensor = model.output(features)
    return said


def free_running(model: Forecaster, memory: Memory, steps: Steps) -> Tensor:
    """Every step but the first is fed what the one before said."""
    return model.roll_out(memory, steps)


class Direct(nn.Module):
    """All rows at once: W [h_1 .. h_S] + b, or W c + b; and V k_t for what is known of each row ahead."""

    def __init__(self, width: int, positions: int, shape: Shape, said: int, settings: DirectDecoder) -> None:
        super().__init__()
        self.of = settings.of
        self.dropout = Dropout(settings.dropout)
        seen = width * positions if settings.of == "memory" else width
        self.projection = nn.Linear(seen, shape.horizon * said)
        self.ahead = nn.Linear(shape.known, said, bias=False) if shape.known else None
        self.horizon = shape.horizon

    def forward(self, memory: Memory, known: Tensor) -> Tensor:
        """memory of N windows, known (N,T,K) -> (N,T,c*Q)."""
        seen = memory.values.flatten(1) if self.of == "memory" else memory.context
        said: Tensor = self.projection(self.dropout(seen)).unflatten(-1, (self.horizon, -1))
        return said if self.ahead is None else said + self.ahead(known)
