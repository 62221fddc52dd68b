"""Settings of training: where it starts, what the decoder is fed, how it goes, how it is watched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from weft.recipe.search import WIDEST
from weft.recipe.section import Part, Section

Precision = Literal["float32", "bf16_products", "bf16"]


class Vectors(Section):
    """Word vectors for one side, in the text or binary format of word2vec, GloVe or fastText.

    Where they are not as wide as model.width, a matrix from their width to it is learnt.
    """

    file: str
    freeze: bool = Field(False, description="leave them as they are")


class Start(Section):
    """What training starts from, instead of random weights."""

    model: str | None = Field(None, description="a model whose weights all go over, with the same or more vocabulary")
    encoder: str | None = Field(None, description="a model whose encoder goes over, as far as there are counterparts")
    decoder: str | None = Field(
        None, description="a model or language model whose decoder goes over, as far as it fits"
    )
    source_vectors: Vectors | None = None
    target_vectors: Vectors | None = None
    source_vocabulary: str | None = Field(
        None, description="a model whose source pieces are used, where others would be learnt; of both sides if shared"
    )
    target_vocabulary: str | None = Field(
        None, description="a model whose target pieces are used: models that answer together need the same ones"
    )


class Feeding(Section):
    """What the decoder is fed while it trains: the target, or what it said itself (Bengio et al. 2015)."""

    kind: Literal["teacher_forcing", "scheduled_sampling", "free_running"] = "teacher_forcing"
    decay: Literal["linear", "exponential", "inverse_sigmoid"] = Field(
        "inverse_sigmoid", description="how the probability of feeding the target goes down"
    )
    over: int = Field(
        5000, ge=1, description="linear: steps from 1 to `least`; otherwise those after which it is near half"
    )
    least: float = Field(0.0, ge=0.0, le=1.0, description="where the probability stops going down")
    choose: Literal["argmax", "sample"] = "argmax"


class Optimizer(Section):
    kind: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0.0, description="the highest rate that the schedule reaches")
    betas: tuple[Part, Part] = (0.9, 0.98)
    epsilon: float = Field(1e-9, gt=0.0)
    weight_decay: float = Field(0.0, ge=0.0)


class Schedule(Section):
    """How the learning rate goes over the steps, after a linear warm-up."""

    kind: Literal["constant", "inverse_sqrt", "cosine", "plateau"] = "inverse_sqrt"
    warmup: int = Field(1000, ge=0, description="steps from zero to the full rate")
    floor: float = Field(0.0, ge=0.0, le=1.0, description="part of the full rate that cosine ends at")
    factor: float = Field(0.5, gt=0.0, lt=1.0, description="plateau: multiplies the rate")
    patience: int = Field(1, ge=0, description="plateau: validations without improvement before it does")


class Validation(Section):
    every: int = Field(500, ge=1, description="steps")
    metric: str = Field("loss", description="what decides on best checkpoint and early stop: loss or a metric")
    metrics: list[str] = Field([], description="computed on real search output at each validation")
    items: int = Field(500, ge=1, description="search runs on so many items, spread evenly over the development set")
    loss_pairs: int = Field(10_000, ge=1, description="the loss is taken over so many pairs, spread evenly too")
    beam: int = Field(1, ge=1, le=WIDEST, description="of that search; greedy is fast, and orders checkpoints as well")
    patience: int | None = Field(None, ge=1, description="stop after so many validations without improvement")
    several_references: bool = Field(False, description="equal sources are one item; its targets are alternatives")


class Training(Section):
    steps: int = Field(20000, ge=1)
    epochs: int | None = Field(None, ge=1, description="stop after so many passes even when steps are left")
    minutes: float | None = Field(None, gt=0.0, description="stop after so much time; a resumed run goes on counting")
    batch_tokens: int = Field(4096, ge=1, description="padded positions of the longer side in one update")
    label_smoothing: float = Field(0.1, ge=0.0, lt=1.0)
    clip: float | None = Field(1.0, gt=0.0, description="largest norm of the gradient")
    accumulate: int = Field(1, ge=1, description="micro-batches that one update is split into")
    precision: Precision = Field(
        "float32", description="bf16_products: float32 with bf16 matrix products on CPU; bf16: autocast"
    )
    feeding: Feeding = Feeding()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    seed: int = Field(1, ge=0, lt=2**63)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    threads: int | None = Field(None, ge=1, le=1024)
    parallel: Literal["data", "sharded"] = Field(
        "data", description="of several processes each holds the whole model (DDP), or a part of each matrix (FSDP)"
    )
    wait: float = Field(30.0, gt=0.0, description="minutes that processes wait for one another before the run ends")
    save_every: int = Field(500, ge=1, description="steps between states to resume from")
    keep_last: int = Field(5, ge=1, description="validated checkpoints kept for averaging")
    keep_best: int = Field(5, ge=1)
    average: int = Field(0, ge=0, description="at the end, average the last so many and take that where it is better")

    @model_validator(mode="after")
    def what_is_averaged_is_kept(self) -> Training:
        if self.average > self.keep_last:
            raise ValueError(f"training.average is {self.average}, but training.keep_last keeps {self.keep_last}")
        return self
