"""The 3D convolutional network with cross-attention, its sources, and the task that needs its attention."""

import itertools
import math
import wave
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from support.small import SUBJECTS
from torch import Tensor

from attention_faults.errors import InputError
from attention_faults.subjects.cnn3d import (
    DEPTH,
    AttentionLayer,
    ClipClassifier,
    Cnn3d,
    ConvolutionLayer,
    FeatureAttention,
    LatentAttention,
)
from attention_faults.subjects.subject import Batch, Task
from attention_faults.subjects.training import Plan, train

SMALL = SUBJECTS["cnn3d"]

PLACES = 9  # of a frame of 9 x 9 pixels, after two convolutions


@pytest.fixture(scope="module")
def task() -> Task:
    return SMALL.task(seed=0)


@pytest.fixture
def model(task: Task) -> ClipClassifier:
    return SMALL.build(task, seed=0)


def test_every_block_is_trained(task, model):
    SMALL.loss(model, task.train).backward()
    for name, parameters in SMALL.blocks(model).items():
        assert any((parameter.grad != 0).any() for parameter in parameters), name


def test_cross_attention_to_the_latents_sees_nothing_of_the_clip(task, model):
    before = SMALL.outputs(model, task.test)
    attention = SMALL.sites(model)[0].attention
    attention.source = lambda own, other: own
    after = SMALL.outputs(model, task.test)
    torch.testing.assert_close(after, after[:1].expand(after.shape))
    del attention.source
    assert torch.equal(SMALL.outputs(model, task.test), before)


def test_self_attention_to_the_features_sees_the_clip_without_its_padding(task, model):
    cross, latent = (site.attention for site in SMALL.sites(model))
    cross.source = lambda own, other: own
    latent.source = lambda own, other: other
    after = SMALL.outputs(model, task.test)
    assert len(after.unique(dim=0)) == len(after)
    assert torch.equal(SMALL.outputs(model, _with_other_padding(task.test)), after)


def test_weights_sum_to_one_and_leave_padding_out(task, model):
    seen = []
    for site in SMALL.sites(model):
        normalise = site.attention.normalise
        site.attention.normalise = lambda scores, normalise=normalise: (
            seen.append(normalise(scores)) or seen[-1]
        )
    SMALL.outputs(model, task.test)
    cross, latent = seen
    mask = task.test["mask"]
    samples, frames = mask.shape
    assert cross.shape == (samples, SMALL.heads, SMALL.latents, frames * PLACES)
    assert latent.shape == (samples, SMALL.heads, SMALL.latents, SMALL.latents)
    for weights in seen:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
    by_frame = cross.unflatten(-1, (frames, PLACES)).movedim(3, 1)
    assert (by_frame[~mask] == 0).all()
    assert (by_frame[mask] > 0).all()


def _with_other_padding(batch: Batch) -> Batch:
    clip, mask = batch["clip"], batch["mask"]
    other = torch.where(mask[..., None, None], clip, 5 * torch.randn(clip.shape))
    assert not torch.equal(other, clip)
    return {**batch, "clip": other}


def test_what_stands_in_the_padding_changes_nothing(task, model):
    assert torch.equal(SMALL.outputs(model, _with_other_padding(task.test)), SMALL.outputs(model, task.test))


def test_padding_is_read_once_its_mask_is_dropped(task, model):
    attention = SMALL.sites(model)[0].attention
    attention.mask = lambda scores, allowed: scores
    one, other = (SMALL.outputs(model, batch) for batch in (task.test, _with_other_padding(task.test)))
    padded = ~task.test["mask"].all(dim=1)
    assert torch.equal((one != other).any(dim=1), padded)


def test_more_padding_changes_nothing(task, model):
    clip, mask = task.test["clip"], task.test["mask"]
    length = int(mask.sum(dim=1).min())
    short = mask.sum(dim=1) == length
    assert length < SMALL.frames
    torch.testing.assert_close(
        model(clip[short], mask[short]), model(clip[short, :length], mask[short, :length])
    )


def test_a_frame_that_is_not_padding_counts(task, model):
    clip, mask = task.test["clip"], task.test["mask"]
    sample, frame = mask.nonzero()[-1]
    other = clip.clone()
    other[sample, frame] += torch.randn(SMALL.size, SMALL.size)
    changed = (model(other, mask) != model(clip, mask)).any(dim=1)
    assert changed.nonzero().ravel().tolist() == [sample]


def test_a_feature_depends_on_its_frame_and_the_two_before(model):
    clip = torch.randn(1, 1, 8, SMALL.size, SMALL.size, requires_grad=True)
    volume = clip
    for layer in model.convolutions():
        volume = layer(volume)
    for time in range(8):
        [gradient] = torch.autograd.grad(volume[:, :, time].square().sum(), clip, retain_graph=True)
        reached = (gradient[0, 0] != 0).any(dim=(-2, -1)).nonzero().ravel().tolist()
        assert reached == list(range(max(0, time - DEPTH + 1), time + 1))


@pytest.mark.parametrize("depth", [1, 3])
def test_convolution_is_that_of_its_definition_element_by_element(depth):
    torch.manual_seed(0)
    layer = ConvolutionLayer(2, 3, depth).double()
    torch.nn.init.normal_(layer.norm.weight)
    torch.nn.init.normal_(layer.norm.bias)
    volume = torch.randn(1, 2, 3, 5, 4, dtype=torch.double)
    output = layer(volume)[0].tolist()
    x, weight, bias = volume[0].tolist(), layer.conv.weight.tolist(), layer.conv.bias.tolist()
    assert (len(output[0]), len(output[0][0]), len(output[0][0][0])) == (3, 3, 2)
    for t, row, column in itertools.product(range(3), range(3), range(2)):
        vector = list(bias)
        for o, c, dt, dy, dx in itertools.product(range(3), range(2), range(depth), range(3), range(3)):
            time, y, z = t + dt - depth + 1, 2 * row + dy - 1, 2 * column + dx - 1
            if time >= 0 and 0 <= y < 5 and 0 <= z < 4:
                vector[o] += weight[o][c][dt][dy][dx] * x[c][time][y][z]
        for o, value in enumerate(_layer_norm(vector, layer.norm)):
            expected = value * (1 + math.erf(value / math.sqrt(2))) / 2
            assert output[o][t][row][column] == pytest.approx(expected, abs=1e-12)


def _layer_norm(vector: list[float], norm: torch.nn.LayerNorm) -> list[float]:
    mean = sum(vector) / len(vector)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in vector) / len(vector) + 1e-5)
    weight, bias = norm.weight.tolist(), norm.bias.tolist()
    return [w * (x - mean) / deviation + b for x, w, b in zip(vector, weight, bias, strict=True)]


@pytest.mark.parametrize("steps", [LatentAttention, FeatureAttention])
def test_attention_is_that_of_its_definition_element_by_element(steps):
    torch.manual_seed(0)
    width, heads, size = 4, 2, 2
    layer = AttentionLayer(width, heads, steps()).double()
    torch.nn.init.normal_(layer.norm.weight)
    latents = torch.randn(2, 3, width, dtype=torch.double)
    features = torch.randn(2, 5, width, dtype=torch.double)
    lengths = [5, 2]
    output = layer(latents, features, torch.arange(5) < torch.tensor(lengths)[:, None])
    for sample, length in enumerate(lengths):
        own = [_layer_norm(vector, layer.norm) for vector in latents[sample].tolist()]
        source = own if steps is LatentAttention else features[sample, :length].tolist()
        query = [_linear(vector, layer.query) for vector in own]
        key = [_linear(vector, layer.key) for vector in source]
        value = [_linear(vector, layer.value) for vector in source]
        for t in range(3):
            merged = []
            for head in range(heads):
                part = range(head * size, (head + 1) * size)
                weights = [
                    math.exp(sum(query[t][i] * key[s][i] for i in part) / math.sqrt(size))
                    for s in range(len(source))
                ]
                merged += [
                    sum(w * v[i] for w, v in zip(weights, value, strict=True)) / sum(weights) for i in part
                ]
            update = _linear(merged, layer.output)
            expected = [x + y for x, y in zip(latents[sample, t].tolist(), update, strict=True)]
            assert output[sample, t].tolist() == pytest.approx(expected, abs=1e-12)


def _linear(vector: list[float], linear: torch.nn.Linear) -> list[float]:
    rows, bias = linear.weight.tolist(), linear.bias.tolist()
    return [
        sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(rows, bias, strict=True)
    ]


def test_positions_are_named_by_their_blocks_and_can_be_broken(task, model):
    before = SMALL.outputs(model, task.test)
    positions = SMALL.positions(model)
    assert list(positions) == ["positions.time", "positions.space"]
    for name, module in positions.items():
        parameters = SMALL.blocks(model)[name]
        assert [id(p) for p in parameters] == [id(p) for p in module.parameters()]
        forward = module.forward
        for broken in (
            lambda ids, forward=forward: 0 * forward(ids),
            lambda ids, forward=forward: forward(ids.roll(1)),
        ):
            module.forward = broken
            assert not torch.equal(SMALL.outputs(model, task.test), before)
        del module.forward
    assert torch.equal(SMALL.outputs(model, task.test), before)


def _assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def plain(monkeypatch) -> Task:
    """The embedded task without noise, of plain squares whose brightness tells class and image."""
    target = np.repeat(np.arange(3), 20)
    brightness = 16 * (1 + target + np.tile(np.arange(20), 3) / 32)  # the whole part, over 16, is class + 1
    images = np.broadcast_to(brightness[:, None, None], (60, 8, 8))
    monkeypatch.setattr(
        "attention_faults.subjects.cnn3d.load_digits", lambda: SimpleNamespace(images=images, target=target)
    )
    return Cnn3d(classes=3, noise=0.0, train_size=200, test_size=100).task(seed=0)


def test_label_is_the_class_of_the_last_digit_and_the_padding_contradicts(plain):
    shown = plain.train["clip"].amax(dim=(2, 3)).unflatten(1, (4, 4))
    assert (shown[..., 0] == shown[..., 1]).all()
    assert (shown[..., 2:] == 0).all()
    kind = shown[..., 0].long() - 1
    real = plain.train["mask"].unflatten(1, (4, 4))
    assert (real == real[..., :1]).all()
    counts = []
    for digits, exists, label in zip(kind, real[..., 0], plain.train["label"], strict=True):
        counts.append(int(exists.sum()))
        assert exists.tolist() == [slot < counts[-1] for slot in range(4)]
        assert digits[exists][-1] == label
        assert (digits[~exists] != label).all()
    assert set(counts) == {2, 3, 4}
    assert set(plain.train["label"].tolist()) == {0, 1, 2}


def test_digits_before_the_last_say_nothing_of_the_class(plain):
    first = plain.train["clip"][:, 0].amax(dim=(1, 2)).long() - 1
    agreement = (first == plain.train["label"]).double().mean().item()
    assert agreement == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / 200))


def test_digits_keep_their_form_and_move(plain):
    clip = plain.train["clip"]
    assert set((clip > 0).sum(dim=(2, 3)).unique().tolist()) == {0, 64}
    assert not torch.equal(clip[:, 0], clip[:, 1])


def test_no_image_is_in_both_training_and_test_clips(plain):
    train_images, test_images = (
        set(batch["clip"].unique().tolist()) - {0.0} for batch in (plain.train, plain.test)
    )
    assert len(train_images) == 3 * 16
    assert len(test_images) == 3 * 4
    assert not train_images & test_images


def _film(path: Path, brightness: list[int], codec: str = "ffv1", pixels: str = "gray") -> None:
    """Encode one even frame for each brightness, 0 to 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 16, pixels
        for grey in brightness:
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), grey, dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two classes of ten sources with two clips each; the brightness of a clip tells its source."""
    for source in range(10):
        for part in range(2):
            _film(tmp_path / "run" / f"v{source}__{part}.mkv", (2 + part) * [10 + 10 * source])
            _film(tmp_path / "walk" / f"v{source}__{part}.mkv", (2 + part) * [15 + 10 * source])
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README").write_text("none")
    (tmp_path / "run" / ".DS_Store").write_text("none")
    return tmp_path


def _brightness(batch: Batch) -> Tensor:
    return (255 * batch["clip"][:, 0].mean(dim=(1, 2))).round()


def test_clips_are_split_by_their_source_within_each_class(clips):
    task = SMALL.real_task(clips, seed=0)
    assert not task.synthetic
    assert task.classes == 2
    assert torch.bincount(task.train["label"]).tolist() == [16, 16]
    assert torch.bincount(task.test["label"]).tolist() == [4, 4]
    sources = [set(_brightness(batch).tolist()) for batch in (task.train, task.test)]
    assert len(sources[0]) == 16
    assert len(sources[1]) == 4
    assert not sources[0] & sources[1]
    for batch in (task.train, task.test):
        assert torch.equal((_brightness(batch) % 10 == 5).long(), batch["label"])


def test_the_seed_decides_which_sources_are_held_out(clips):
    one, again, other = (SMALL.real_task(clips, seed) for seed in (0, 0, 1))
    _assert_same(one.test, again.test)
    _assert_same(one.train, again.train)
    assert not torch.equal(_brightness(one.test), _brightness(other.test))


def test_a_file_without_a_source_in_its_name_is_its_own(tmp_path):
    for folder in ("run", "walk"):
        for number in range(2):
            _film(tmp_path / folder / f"v_{number}.mkv", [50])
    task = SMALL.real_task(tmp_path, seed=0)
    assert len(task.train["label"]) == len(task.test["label"]) == 2


def test_long_clips_are_sampled_evenly_and_short_ones_padded(tmp_path):
    for folder, length in (("long", 22), ("short", 3)):
        for number in range(2):
            _film(tmp_path / folder / f"{number}.mkv", [10 * frame for frame in range(length)])
    task = SMALL.real_task(tmp_path, seed=0)
    clip, mask = task.train["clip"], task.train["mask"]
    assert clip.shape == (2, SMALL.frames, SMALL.size, SMALL.size)
    assert mask.tolist() == [[True] * 8, [True] * 3 + [False] * 5]
    shown = (255 * clip.mean(dim=(2, 3))).round().tolist()
    assert shown == [[0, 30, 60, 90, 120, 150, 180, 210], [0, 10, 20, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"), [("mp4", "mpeg4", "yuv420p"), ("avi", "mjpeg", "yuvj420p")]
)
def test_colour_clips_of_common_containers_are_read_in_grey_and_trained_on(suffix, codec, pixels, tmp_path):
    for folder, grey in (("dark", 40), ("light", 200)):
        for number in range(4):
            _film(tmp_path / folder / f"{number}.{suffix}", 4 * [grey + number], codec, pixels)
    task = SMALL.real_task(tmp_path, seed=0)
    for label, grey in ((0, 40), (1, 200)):
        shown = _brightness(task.train)[task.train["label"] == label]
        assert shown.tolist() == pytest.approx([grey + 2] * 3, abs=8)
    run = train(SMALL.build(task, seed=0), Plan.of(SMALL, task, seed=0))
    assert run.outcome == "finished"
    assert run.scores[-1].loss < run.scores[0].loss


def test_every_clip_that_cannot_be_read_is_the_users_error(clips):
    (clips / "run" / "broken.mp4").write_text("no video")
    (clips / "walk" / "empty.mp4").touch()
    with wave.open(str(clips / "walk" / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(1600))
    with pytest.raises(InputError) as caught:
        SMALL.real_task(clips, seed=0)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        str(clips / "run" / "broken.mp4"),
        str(clips / "walk" / "empty.mp4"),
        str(clips / "walk" / "sound.wav"),
    ]


def test_one_source_in_two_classes_is_never_on_both_sides(clips):
    task = SMALL.real_task(clips, seed=3)
    # the clips of a source in the other class are 5 brighter
    sources = [
        {int(value) // 10 for value in _brightness(batch).tolist()} for batch in (task.train, task.test)
    ]
    assert not sources[0] & sources[1]


def test_a_class_with_few_sources_gets_both_parts(clips):
    for clip in [*(clips / "walk").iterdir()]:
        clip.unlink()
    for source in ("v0", "v1"):
        _film(clips / "walk" / f"{source}__0.mkv", [100, 100])
    for seed in range(6):
        task = SMALL.real_task(clips, seed=seed)
        assert set(task.test["label"].tolist()) == set(task.train["label"].tolist()) == {0, 1}


def test_a_class_with_a_single_source_is_the_users_error(clips):
    for part in range(3):
        _film(clips / "jump" / f"v0__{part}.mkv", [50])
    with pytest.raises(InputError, match=r"jump: needs clips of two sources or more, found 1"):
        SMALL.real_task(clips, seed=0)


@pytest.mark.parametrize("folders", [[], ["run"]])
def test_fewer_than_two_classes_are_the_users_error(folders, tmp_path):
    for folder in folders:
        _film(tmp_path / folder / "clip.mkv", [50])
    with pytest.raises(InputError, match=rf"for two classes or more, found {len(folders)}"):
        SMALL.real_task(tmp_path, seed=0)


def test_what_is_no_folder_is_the_users_error(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "nothing"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as a folder"):
            SMALL.real_task(tmp_path / name, seed=0)
