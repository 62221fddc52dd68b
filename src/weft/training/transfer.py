"""Parameters of a trained model that go over into a new one, as far as they have counterparts in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor, nn

from weft.data.counterparts import Counterparts
from weft.data.vocabulary import Vocabulary
from weft.errors import WeftError, counted
from weft.models.directory import Loaded
from weft.models.rnn import RecurrentDecoder
from weft.models.seq2seq import Seq2Seq
from weft.recipe import Recipe

PARTS = {
    "model": ("",),
    "encoder": ("encoder.", "source_input.", "summary."),
    "decoder": ("decoder.", "target_input.", "output."),
}
PIECES = {  # parameters with a row for each piece, and the side whose pieces these are
    "source_input.embedding.weight": "source",
    "target_input.embedding.weight": "target",
    "output.projection.weight": "target",
    "output.projection.bias": "target",
    "decoder.emit.weight": "target",
    "decoder.emit.bias": "target",
}
CHAIN = "decoder.transitions"  # with a row and a column for each target piece
TEMPERATURE = "decoder.temperature"  # was fitted when training was over, and is again
MEANING = (  # settings with another value of which an equally large matrix is of another function
    "kind", "width", "cell", "residual", "reversed", "kernel", "heads", "key_value_heads", "norm", "norm_kind",
    "activation", "position", "past",
)  # fmt: skip
RENAMED = {  # parts of a layer in an encoder and in a decoder
    "attention.": "self_attention.",
    "around.": "around_self.",
    "weight_": "rnn.weight_",
    "bias_": "rnn.bias_",
}
FEATURES = re.compile(r"source_input\.factors\.(\d+)\.embedding\.weight")  # with a row for each feature
SHOWN = 3


@dataclass
class Taken:
    """What became of the parameters of one part."""

    whole: list[str] = field(default_factory=list)
    in_part: list[str] = field(default_factory=list)  # the columns that take in the same
    fresh: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)  # of each vocabulary, how many have rows that go over

    def __str__(self) -> str:
        number = len(self.whole) + len(self.in_part)
        told = [f"{number} of {counted(number + len(self.fresh), 'tensor')}", *self.pieces]
        told += [
            f"{what}: {short(names)}" for what, names in (("in part", self.in_part), ("fresh", self.fresh)) if names
        ]
        return "; ".join(told)


class Transfer:
    """From a trained model into a new network with vocabularies of its own."""

    def __init__(self, old: Loaded, network: Seq2Seq, source: Vocabulary, target: Vocabulary) -> None:
        self.old = old
        self.network = network
        self.vocabularies = {"source": source, "target": target}
        self.of_sides: dict[tuple[str, str], Counterparts] = {}

    @torch.no_grad()
    def put(self, part: str) -> Taken:
        """Copy the parameters of a part, or of the whole `model`.

        Rows of embeddings and outputs go to the pieces with the same text. Of a whole model, a new piece begins as the
        mean of the old pieces that its text is split into.
        """
        theirs = dict(self.old.network.named_parameters(remove_duplicate=False))
        spoken = part == "encoder" and self.old.recipe.model.encoder.kind == "none"
        taken = Taken()
        for names, parameter in named(self.network):
            ours = [name for name in names if name.startswith(PARTS[part])]
            before = {name: of_language_model(name) if spoken else name for name in ours}
            found = next((name for name in ours if before[name] in theirs), None)
            if found is None:
                taken.fresh += ours[:1]
                continue
            old = theirs[before[found]]
            if found == TEMPERATURE:
                continue
            if found == CHAIN:
                parameter.copy_(self.moved_chain(old, parameter))
                taken.whole.append(found)
            elif found in PIECES:
                sides = PIECES[before[found]], PIECES[found]
                fits = self.put_rows(parameter, old, self.counterparts(*sides), means=part == "model")
                (taken.whole if fits else taken.fresh).append(found)
            elif FEATURES.fullmatch(found):
                fits = parameter.shape[1:] == old.shape[1:]
                parameter.copy_(self.moved_features(found, old, parameter) if fits else parameter)
                (taken.whole if fits else taken.fresh).append(found)
            elif columns(found, self.network) != columns(found, self.old.network):
                fits = self.put_columns(found, parameter, old)
                (taken.in_part if fits else taken.fresh).append(found)
            elif parameter.shape == old.shape:
                parameter.copy_(old)
                taken.whole.append(found)
            else:
                taken.fresh.append(found)
        taken.pieces = [self.coverage(*sides, means=part == "model") for sides in sorted(self.of_sides)]
        return taken

    def counterparts(self, old: str, new: str) -> Counterparts:
        if (old, new) not in self.of_sides:
            before: Vocabulary = getattr(self.old, old)
            self.of_sides[old, new] = Counterparts(before, self.vocabularies[new])
        return self.of_sides[old, new]

    def coverage(self, old: str, new: str, means: bool) -> str:
        pieces = self.of_sides[old, new]
        told = f"{len(pieces):,} of {counted(self.vocabularies[new].size, f'{new} piece')}"
        made = len(pieces.parts) if means else 0
        return told + f", and {made:,} as the mean of the pieces that they were" * bool(made)

    def put_rows(self, parameter: Tensor, old: Tensor, pieces: Counterparts, means: bool) -> bool:
        """(V,...) from (V',...); whether they are as wide."""
        if parameter.shape[1:] != old.shape[1:]:
            return False
        parameter.copy_(pieces.moved(old, parameter))
        for number, parts in pieces.parts.items() if means else ():
            parameter[number] = old[parts].mean(0)
        return True

    def put_columns(self, name: str, parameter: Tensor, old: Tensor) -> bool:
        """The columns that take in the same, and as much of it; whether there are any."""
        ours, theirs = columns(name, self.network), columns(name, self.old.network)
        same = [what for what in ours if what in theirs and width(ours[what]) == width(theirs[what]) > 0]
        if len(parameter) != len(old):
            return False
        for what in same:
            parameter[:, ours[what]] = old[:, theirs[what]]
        return bool(same)

    def moved_chain(self, old: Tensor, new: Tensor) -> Tensor:
        """(V,V) from (V',V'): from one piece to another, where both vocabularies have both of them."""
        pieces = self.counterparts("target", "target")
        moved = new.clone()
        moved[pieces.here[:, None], pieces.here] = old[pieces.there[:, None], pieces.there].to(new)
        return moved

    def moved_features(self, name: str, old: Tensor, new: Tensor) -> Tensor:
        """Rows of a factor's features by their names; those of features that the old factor does not have stay."""
        found, theirs, ours = FEATURES.fullmatch(name), self.old.source.factors, self.vocabularies["source"].factors
        assert found and theirs and ours
        before, now = (factors.numbers[int(found[1])] for factors in (theirs, ours))
        moved = new.clone()
        for feature in now.keys() & before.keys():
            moved[now[feature]] = old[before[feature]]
        return moved

    def moments(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of an optimiser for the whole model, with rows by piece, and zeros for new pieces."""
        network = dict(self.network.named_parameters())
        moved = {}
        for name, tensor in tensors.items():
            kind, _, parameter = name.partition(".")
            if kind != "step" and parameter in PIECES and parameter in network:
                side = PIECES[parameter]
                tensor = self.counterparts(side, side).moved(tensor, torch.zeros_like(network[parameter]))
            elif kind != "step" and parameter == CHAIN:
                tensor = self.moved_chain(tensor, torch.zeros_like(network[parameter]))
            elif kind != "step" and FEATURES.fullmatch(parameter) and parameter in network:
                tensor = self.moved_features(parameter, tensor, torch.zeros_like(network[parameter]))
            moved[name] = tensor
        return moved


def named(network: nn.Module) -> Iterable[tuple[list[str], nn.Parameter]]:
    """Every parameter once, with all its names: a shared matrix has several."""
    found: dict[int, tuple[list[str], nn.Parameter]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), ([], parameter))[0].append(name)
    return found.values()


def of_language_model(name: str) -> str:
    """The parameter of a decoder that does what this one of an encoder does, in its one direction."""
    found = re.fullmatch(rf"encoder\.layers\.(\d+)\.({'|'.join(map(re.escape, RENAMED))})(.+)", name)
    if found:
        return f"decoder.layers.{found[1]}.{RENAMED[found[2]]}{found[3]}"
    return name.replace("encoder.", "decoder.", 1).replace("source_input.", "target_input.", 1)


def columns(name: str, network: Seq2Seq) -> dict[str, slice]:
    """What a matrix of a recurrent decoder takes in with which columns (`RecurrentDecoder`); nothing of any other."""
    decoder = network.decoder
    if not isinstance(decoder, RecurrentDecoder):
        return {}
    token = decoder.readout.out_features // (2 if decoder.maxout else 1)
    read = decoder.attention.width if decoder.attention else 0
    context = network.vector_width if decoder.every else 0
    state = [layer.width for layer in decoder.recurrent()][-1]
    first, fed = read * decoder.asks_first, token * decoder.feeds
    widths = {
        "decoder.layers.0.rnn.weight_ih_l0": {"token": token, "context": context, "fed": fed, "read": first},
        "decoder.readout.weight": {"state": state, "read": read, "context": context, "token": token * decoder.maxout},
    }.get(name, {})
    return {
        what: slice(end - width, end)
        for (what, width), end in zip(widths.items(), accumulate(widths.values()), strict=True)
    }


def width(columns: slice) -> int:
    return int(columns.stop - columns.start)


def check_meaning(part: str, run: str, old: Loaded, recipe: Recipe) -> None:
    """WeftError where the matrices of a run's part, or of its decoder for an encoder, would be of another function."""
    before, now = old.recipe.model, recipe.model
    theirs = "decoder" if part == "encoder" and before.encoder.kind == "none" else part
    settings: dict[str, object] = {"reversed": False} | getattr(before, theirs).model_dump()
    others = [
        (f"model.{theirs}.{key}", settings[key], f"model.{part}.{key}", value)
        for key, value in getattr(now, part).model_dump().items()
        if key in MEANING and key in settings
    ]
    others = [
        ("model.width", before.width, "model.width", now.width),
        ("model.embedding.scale", before.embedding.scale, "model.embedding.scale", now.embedding.scale),
        *sorted(others, key=lambda other: MEANING.index(other[0].rpartition(".")[2])),
    ]
    told = [
        f"{there} is {value!r} there and {f'{here} ' * (here != there)}{other!r} here"
        for there, value, here, other in others
        if value != other
    ]
    if told:
        raise WeftError(f"{run} cannot start this {part}: {short(told, '; ')}")


def short(listed: list[str], between: str = ", ") -> str:
    """The first few of them, and how many more there are."""
    more = len(listed) - SHOWN
    return between.join(listed[:SHOWN]) + f" and {more:,} more" * (more > 0)
