"""A 3D convolutional network for clips (Tran et al. 2015) whose features learnt latents attend to.

The latents read the clip by cross-attention, then exchange what they have read by self-attention, as in
Jaegle et al. (2021). Convolutions see neighbouring places and the frames just before; what lies further apart
is brought together by attention alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

import av
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from attention_faults.errors import InputError
from attention_faults.subjects.attention import Attention, Kind, Site
from attention_faults.subjects.subject import (
    Batch,
    Count,
    FeedForward,
    Positive,
    Recipe,
    Subject,
    Task,
    demand,
)

ROLES = ("query", "key", "value", "output")
DEPTH = 3  # frames that a feature depends on

Floats = NDArray[np.float64]


class LatentAttention(Attention):
    """Attention of latents, with one more step: what keys and values are made of."""

    def source(self, own: Tensor, other: Tensor) -> Tensor:
        """Choose the latents (B, L, width) rather than the features (B, S, width)."""
        return own


class FeatureAttention(LatentAttention):
    """Attention of latents to features."""

    def source(self, own: Tensor, other: Tensor) -> Tensor:
        """Choose the features (B, S, width) rather than the latents (B, L, width)."""
        return other


class AttentionLayer(nn.Module):
    """Multi-head attention of latents, normalised before and added to them after."""

    def __init__(self, width: int, heads: int, attention: LatentAttention) -> None:
        super().__init__()
        self.heads = heads
        self.attention = attention
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in ROLES)
        for role in ROLES:
            # latents that start by looking at different things learn what to look at within few samples
            gain = 2.0 if role in ("query", "key") else 1.0
            nn.init.xavier_normal_(getattr(self, role).weight, gain)

    def forward(self, latents: Tensor, features: Tensor, real: Tensor) -> Tensor:
        """Update latents (B, L, width), given features (B, S, width) that count where `real` (B, S)."""
        own = self.norm(latents)
        source = self.attention.source(own, features)
        allowed = real[:, None, None] if source is features else None  # all latents count
        query, key, value = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in (self.query(own), self.key(source), self.value(source))
        )
        merged, _ = self.attention(query, key, value, allowed=allowed, scaling=query.shape[-1] ** -0.5)
        updated: Tensor = latents + self.output(merged)
        return updated


class LatentFeedForward(nn.Module):
    """Two linear layers for each latent alone, normalised before and added to it after."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, latents: Tensor) -> Tensor:
        """Update latents (B, L, width)."""
        updated: Tensor = latents + self.layers(self.norm(latents))
        return updated


class ConvolutionLayer(nn.Module):
    """Convolution that looks back in time and halves width and height, then LayerNorm and GELU."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.conv = nn.Conv3d(inputs, outputs, (depth, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        # over the channels of one place: statistics of a whole clip would mix places and let padding in
        self.norm = nn.LayerNorm(outputs)

    def forward(self, volumes: Tensor) -> Tensor:
        """Turn volumes (B, inputs, T, H, W) into (B, outputs, T, H / 2, W / 2), halves rounded up."""
        # padding follows the real frames, so that no real feature may depend on a later frame
        convolved = self.conv(nn.functional.pad(volumes, (0, 0, 0, 0, self.depth - 1, 0)))
        return nn.functional.gelu(self.norm(convolved.movedim(1, -1)).movedim(-1, 1))


class ClipClassifier(nn.Module):
    """Convolutions, positions, cross-attention, self-attention, mean of the latents, head."""

    def __init__(
        self,
        *,
        frames: int,
        size: int,
        channels: int,
        width: int,
        heads: int,
        latents: int,
        feed_forward: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            [ConvolutionLayer(1, channels, DEPTH), ConvolutionLayer(channels, width, 1)]
        )
        side = -(-size // 2 ** len(self.stem))
        self.time = nn.Embedding(frames, width)
        self.space = nn.Embedding(side**2, width)
        for positions in (self.time, self.space):
            nn.init.normal_(positions.weight, std=0.5)
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.cross = AttentionLayer(width, heads, FeatureAttention())
        self.latent = AttentionLayer(width, heads, LatentAttention())
        self.feed_forward = LatentFeedForward(width, feed_forward)
        self.head = nn.Linear(width, classes)

    def convolutions(self) -> Iterator[ConvolutionLayer]:
        """Yield the layers of the stem."""
        for layer in self.stem:
            yield cast("ConvolutionLayer", layer)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Classify clips (B, T, H, W) of frames that are real where `mask` (B, T): logits (B, classes).

        What is not real must follow what is.
        """
        volumes = clips[:, None]
        for layer in self.convolutions():
            volumes = layer(volumes)
        features = volumes.flatten(start_dim=3).movedim(1, -1)
        times, places = (torch.arange(count, device=clips.device) for count in features.shape[1:3])
        # no normalisation here: it would weigh a feature by its position, without attention
        features = (features + self.time(times)[:, None] + self.space(places)).flatten(1, 2)
        real = mask.repeat_interleave(len(places), dim=1)

        latents = self.latents.expand(len(clips), -1, -1)
        latents = self.latent(self.cross(latents, features, real), features, real)
        logits: Tensor = self.head(self.feed_forward(latents).mean(dim=1))
        return logits


class Clip(NamedTuple):
    """A real clip: frames (T, size, size), from black 0 to white 1."""

    label: int
    source: str
    frames: Floats


@dataclass(frozen=True, kw_only=True)
class Cnn3d(Subject):
    """3D convolutional network with cross-attention.

    The embedded task: handwritten digits (those of scikit-learn) appear, move and vanish, one after the
    other, and the clip has the class of the last one. Between two digits the clip is empty for so long that
    no convolution sees both: which is the last takes attention to positions. The padding holds what a longer
    clip left there, digits of other classes. No image of a digit occurs in both training and test clips.

    Attributes:
        channels: of the first convolution.
        width: channels of the second convolution, and size of a latent; a multiple of `heads`.
        heads: of each attention.
        latents: number of latents.
        feed_forward: size of the hidden layer of the feed-forward network.
        frames: most frames of a clip; of a longer real one as many are read, evenly spaced.
        size: width and height of a frame in pixels, at least that of a digit, 8.
        classes: digits from 0 on, in the embedded task, at least 2.
        dwell: frames that show one digit; two empty ones follow it.
        noise: standard deviation of each pixel, whose range is 0 to 1.
        train_size: training clips of the embedded task.
        test_size: test clips of the embedded task.
    """

    name: ClassVar[str] = "cnn3d"

    recipe: Recipe = Recipe(epochs=6, batch_size=32, learning_rate=3e-3)
    channels: Count = 16
    width: Count = 32
    heads: Count = 4
    latents: Count = 8
    feed_forward: Count = 64
    frames: Count = 16
    size: Count = 10
    classes: Count = 4
    dwell: Count = 2
    noise: Positive = 0.05
    train_size: Count = 4000
    test_size: Count = 600

    def __post_init__(self) -> None:
        """Refuse options that do not fit together."""
        demand(
            {
                "`width` must be a multiple of `heads`": self.width % self.heads == 0,
                "`size` must be that of a digit, 8, or more": self.size > 7,
                "`frames` must be `dwell` + 2 or more": self.frames >= self.dwell + DEPTH - 1,
                "`classes` must be 2 to 10": 1 < self.classes < 11,
            }
        )

    def task(self, seed: int) -> Task:
        """Make the embedded task: synthetic, the same for the same seed."""
        generator = np.random.default_rng(seed)
        digits = load_digits()
        train, test = [], []
        for kind in range(self.classes):
            images = generator.permutation(digits.images[digits.target == kind]) / 16
            held_out = len(images) // 5
            test.append(images[:held_out])
            train.append(images[held_out:])
        return Task(
            self._clips(train, self.train_size, generator),
            self._clips(test, self.test_size, generator),
            self.classes,
            synthetic=True,
        )

    def _clips(self, images: list[Floats], count: int, generator: np.random.Generator) -> Batch:
        """Draw clips of digits whose images (n, 8, 8) are given for each class."""
        period = self.dwell + DEPTH - 1
        slots = self.frames // period
        length = generator.integers((slots + 1) // 2, slots, (count, 1), endpoint=True)
        kind = generator.integers(self.classes, size=(count, slots))
        label = np.take_along_axis(kind, length - 1, axis=1)
        other = (label + generator.integers(1, self.classes, kind.shape)) % self.classes
        kind = np.where(np.arange(slots) < length, kind, other)

        first_image = np.cumsum([0, *map(len, images[:-1])])
        chosen = first_image[kind] + generator.integers(np.array([len(group) for group in images])[kind])
        pictures = np.concatenate(images)[chosen]
        side = pictures.shape[-1]
        start, end = generator.integers(self.size - side, size=(2, 2, *kind.shape), endpoint=True)
        top, left = np.rint(np.linspace(start, end, self.dwell, axis=-1)).astype(int)[..., None, None]
        frames = generator.normal(scale=self.noise, size=(count, self.frames, self.size, self.size))
        clip = np.arange(count)[:, None, None, None, None]
        time = (np.arange(0, slots * period, period)[:, None] + np.arange(self.dwell))[..., None, None]
        frames[clip, time, top + np.arange(side)[:, None], left + np.arange(side)] += pictures[:, :, None]
        return {
            "clip": torch.from_numpy(frames).float(),
            "mask": torch.from_numpy(np.arange(self.frames) < period * length),
            "label": torch.from_numpy(label[:, 0]),
        }

    def real_task(self, path: Path, seed: int) -> Task:
        """Read clips in any format that FFmpeg knows, in grey, and hold out about a fifth of their sources.

        A source is a video that clips were cut from: all clips `<source>__<anything>` have one, whatever
        their class. A clip with another name is its own source. No source has both training and test clips.

        Args:
            path: folder with a sub-folder of clips for each class.
            seed: of the split.

        Raises:
            InputError: if there are fewer than two classes, a clip cannot be read, or the sources of a class
                cannot be split.
        """
        folders = sorted(folder for folder in _visible(path) if folder.is_dir())
        if len(folders) < 2:
            raise InputError(
                f"{path}: needs sub-folders of clips for two classes or more, found {len(folders)}"
            )
        clips = self._read_all(folders)
        labels = np.array([clip.label for clip in clips])
        test = _held_out(labels, [clip.source for clip in clips], seed)
        problems = [
            f"{folder}: shares its sources with other classes, so that no split gives it both parts"
            for label, folder in enumerate(folders)
            if len(set(test[labels == label])) < 2
        ]
        if problems:
            raise InputError(problems)
        parts = (
            [clip for clip, held in zip(clips, test, strict=True) if held == part] for part in (False, True)
        )
        train, held_out = map(self._padded, parts)
        return Task(train, held_out, len(folders), synthetic=False)

    def _read_all(self, folders: list[Path]) -> list[Clip]:
        """Read the clips of each class from its folder."""
        problems: list[str] = []
        clips: list[Clip] = []
        for label, folder in enumerate(folders):
            files = sorted(file for file in _visible(folder) if file.is_file())
            found = len({_source(file) for file in files})
            if found < 2:
                problems.append(f"{folder}: needs clips of two sources or more, found {found}")
            for file in files:
                try:
                    clips.append(Clip(label, _source(file), self._read(file)))
                except InputError as error:
                    problems += error.problems
        if problems:
            raise InputError(problems)
        return clips

    def _read(self, path: Path) -> Floats:
        """Read a clip: at most `frames` frames, evenly spaced, from black 0 to white 1."""
        try:
            with av.open(path) as container:
                frames = [
                    frame.reformat(self.size, self.size, "gray").to_ndarray()
                    for frame in container.decode(video=0)
                ]
        except (av.error.FFmpegError, IndexError) as error:
            raise InputError(f"{path}: cannot be read as a video: {error}") from error
        if not frames:
            raise InputError(f"{path}: holds no frames")
        chosen = np.linspace(0, len(frames) - 1, min(len(frames), self.frames)).round().astype(int)
        clip: Floats = np.stack(frames)[chosen] / 255
        return clip

    def _padded(self, clips: list[Clip]) -> Batch:
        padded = torch.zeros(len(clips), self.frames, self.size, self.size)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip.frames)] = torch.from_numpy(clip.frames)
        lengths = torch.tensor([len(clip.frames) for clip in clips])
        return {
            "clip": padded,
            "mask": torch.arange(self.frames) < lengths[:, None],
            "label": torch.tensor([clip.label for clip in clips]),
        }

    def build(self, task: Task, seed: int) -> ClipClassifier:
        """Make the model with weights drawn from the seed."""
        _, frames, size, _ = task.train["clip"].shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ClipClassifier(
                frames=frames,
                size=size,
                channels=self.channels,
                width=self.width,
                heads=self.heads,
                latents=self.latents,
                feed_forward=self.feed_forward,
                classes=task.classes,
            )

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits, shape (clips, classes)."""
        logits: Tensor = model(batch["clip"], batch["mask"])
        return logits

    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Group all parameters by layer and component."""
        network = cast("ClipClassifier", model)
        blocks = {}
        for number, layer in enumerate(network.convolutions()):
            blocks[f"stem.conv{number}"] = list(layer.conv.parameters())
            blocks[f"stem.norm{number}"] = list(layer.norm.parameters())
        for name, positions in self.positions(model).items():
            blocks[name] = list(positions.parameters())
        blocks["latents.queries"] = [network.latents]
        for site in self.sites(model):
            for component, parameters in site.components.items():
                blocks[f"{site.layer}.{component}"] = list(parameters)
        return {
            **blocks,
            "cross.norm": list(network.cross.norm.parameters()),
            "latent.norm": [*network.latent.norm.parameters(), *network.feed_forward.norm.parameters()],
            "latent.ffn": list(network.feed_forward.layers.parameters()),
            "classifier.head": list(network.head.parameters()),
        }

    def positions(self, model: nn.Module) -> dict[str, nn.Module]:
        """Name the learnt embeddings of frames and of places."""
        network = cast("ClipClassifier", model)
        return {"positions.time": network.time, "positions.space": network.space}

    def feed_forwards(self, model: nn.Module) -> dict[str, FeedForward]:
        """Name the feed-forward network of the latents."""
        layers = cast("ClipClassifier", model).feed_forward.layers
        return {"latent.ffn": FeedForward(layers, layers[1])}

    def sites(self, model: nn.Module) -> list[Site]:
        """List the cross-attention to the features, then the self-attention of the latents."""
        network = cast("ClipClassifier", model)
        layers: tuple[tuple[str, Kind, AttentionLayer], ...]
        layers = (("cross", "cross", network.cross), ("latent", "self", network.latent))
        return [
            Site(
                path=name,
                layer=name,
                kind=kind,
                attention=layer.attention,
                components={role: tuple(getattr(layer, role).parameters()) for role in ROLES},
                head_count=layer.heads,
                masked=kind == "cross",
            )
            for name, kind, layer in layers
        ]


def _visible(folder: Path) -> list[Path]:
    """List what a folder holds, except hidden files."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read as a folder: {error}") from error


def _source(clip: Path) -> str:
    """Name the video that a clip was cut from."""
    source, separator, _ = clip.name.partition("__")
    return source if separator else clip.name


def _held_out(labels: NDArray[np.int_], sources: list[str], seed: int) -> NDArray[np.bool_]:
    """Choose the test clips: about a fifth of each class, whole sources only."""
    fewest = min(len({sources[i] for i in np.flatnonzero(labels == label)}) for label in set(labels))
    folds = StratifiedGroupKFold(min(5, fewest), shuffle=True, random_state=seed)
    _, chosen = next(folds.split(labels, labels, sources))
    test = np.zeros(len(labels), dtype=bool)
    test[chosen] = True
    return test
