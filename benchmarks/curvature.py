"""What second derivatives cost: in gradients, beside what others offer, in memory, and as models grow.

Usage: python benchmarks/curvature.py [--device cuda] [--plot FOLDER] [SECTION ...]

Sections: products, peers, interactions, full, memory, growth, coverage (default: all but `full` and `memory`,
which take the full DistilBERT and minutes). Peers that are not installed are left out, and named: install
`curvlinops-for-pytorch`, `pyhessian` and `hessian-eigenthings` in an environment of their own, with the torch
of this project and `transformers`, then remove `torchvision`, whose wheel does not match.

Everything runs on one thread. What is compared runs alternately, on the same model and batch; times are
medians, with the range of the middle half.
"""

import argparse
import contextlib
import copy
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from attention_faults.curvature import ECONOMY, STANDARD, BlockHessian, Budget, profile_operator
from attention_faults.curvature.frobenius import squared_norms
from attention_faults.curvature.lanczos import extremes
from attention_faults.curvature.probes import rademacher
from attention_faults.curvature.trace import hutchinson
from attention_faults.faults.campaign import subject_of
from attention_faults.study import Model
from attention_faults.subjects.distilbert import TokenTask
from attention_faults.subjects.subject import Batch, Subject

PEERS = {
    "curvlinops": "curvlinops-for-pytorch",
    "pyhessian": "pyhessian",
    "hessian_eigenthings": "hessian-eigenthings",
}
REPEATS = 7
Timings = dict[str, list[float]]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Setting:
    """A model with one batch and its blocks."""

    name: str
    subject: Subject
    model: nn.Module
    batch: Batch

    def loss(self) -> Tensor:
        """Return the mean loss of the batch."""
        return self.subject.loss(self.model, self.batch)

    @property
    def blocks(self) -> dict[str, list[nn.Parameter]]:
        """Blocks of the subject."""
        return self.subject.blocks(self.model)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters in the order of the blocks."""
        return [parameter for block in self.blocks.values() for parameter in block]

    def hessian(self, **options: Any) -> BlockHessian:
        """Make the operator of all blocks."""
        return BlockHessian(self.loss, self.blocks, **options)


def small(name: str, samples: int, device: str, **sizes: Any) -> Setting:
    subject = Subject.named(name)(**sizes)
    task = subject.task(seed=0)
    model = subject.build(task, seed=0).to(device)
    batch = {key: tensor[:samples].to(device) for key, tensor in task.train.items()}
    return Setting(name, subject, model, batch)


def full_distilbert(device: str) -> Setting:
    """DistilBERT in its published size, random weights and tokens, a batch of 8 x 64."""
    settings = yaml.safe_load((ROOT / "config/distilbert_full.yaml").read_text())["models"]["distilbert_full"]
    options = settings["options"] | {"pretrained": "", "dropout": 0.0}
    subject = subject_of("full", Model(subject="distilbert", options=options))
    generator = torch.Generator().manual_seed(0)
    vocabulary, tokens = 30522, torch.randint(30522, (8, 512), generator=generator)
    batch = {"input_ids": tokens[:, :64], "attention_mask": torch.ones(8, 64, dtype=torch.bool)}
    batch["label"] = torch.arange(8) % 2
    shape = {"input_ids": tokens, "attention_mask": torch.ones(8, 512, dtype=torch.bool)}
    task = TokenTask(shape, shape, classes=2, synthetic=True, vocabulary=vocabulary)
    model: Any = subject.build(task, seed=0)
    batch = {key: tensor.to(device) for key, tensor in batch.items()}
    return Setting("distilbert 66M", subject, model.to(device), batch)


def alternate(actions: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> Timings:
    """Run each action once to warm up, then all of them in turn."""
    times: Timings = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name, action in actions.items():
            _finish()
            started = time.perf_counter()
            action()
            _finish()
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def verdict(bar: float, holds: bool) -> str:
    return f"  bar {bar}: {'holds' if holds else 'FAILS'}"


def shown(times: list[float]) -> str:
    middle = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
    return f"{1e3 * middle[1]:9.1f} ms ({1e3 * middle[0]:.1f}-{1e3 * middle[2]:.1f})"


def gradient(setting: Setting) -> tuple[Tensor, ...]:
    return torch.autograd.grad(setting.loss(), setting.parameters)


def products(device: str) -> None:
    """Price a product in gradients, with the graph kept and anew."""
    settings = [small(name, 64, device) for name in ("han", "graph_han", "cnn3d", "distilbert", "decoder")]
    for setting in [*settings, full_distilbert(device)]:
        measure_products(setting, 3 if "66M" in setting.name else REPEATS)


def measure_products(setting: Setting, repeats: int) -> None:
    kept, together = setting.hessian(probes_at_once=1), setting.hessian(probes_at_once=8)
    vector = rademacher(kept, 1, torch.Generator().manual_seed(0))[:, 0]
    actions: dict[str, Callable[[], Any]] = {
        "gradient": lambda: gradient(setting),
        "kept": lambda: kept @ vector,
        "fresh": lambda: setting.hessian(probes_at_once=1) @ vector,
    }
    eight = None
    if "66M" not in setting.name:
        eight = vector[:, None].repeat(1, 8)
        actions["eight"] = lambda: together @ eight
    times = alternate(actions, repeats)
    one = statistics.median(times["gradient"])
    print(f"{setting.name}: {kept.shape[0]:,} parameters, {len(kept.names)} blocks")
    bounds = {"kept": 2.0, "fresh": 3.5}
    for name, label in (
        ("gradient", "gradient"),
        ("kept", "product, graph kept"),
        ("fresh", "product, graph anew"),
        ("eight", f"8 products together (batched: {together.batched})"),
    ):
        if name not in times:
            continue
        count = 8 if name == "eight" else 1
        ratio = statistics.median(times[name]) / one / count
        bar = (
            f"  bar {bounds[name]}: {'holds' if ratio <= bounds[name] else 'FAILS'}" if name in bounds else ""
        )
        each = " each" if count > 1 else ""
        print(f"  {label:45}{shown(times[name])}  {ratio:5.2f} gradients{each}{bar}")
        if name in bounds and ratio > bounds[name]:
            profile_product(kept, vector)


def profile_product(operator: BlockHessian, vector: Tensor) -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        operator @ vector
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=8, max_name_column_width=40))


class Logits(nn.Module):
    """A subject's model as peers take it: from token ids to logits."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.model, self.subject = setting.model, setting.subject
        self.rest = {key: value for key, value in setting.batch.items() if key != "input_ids"}

    def forward(self, ids: Tensor) -> Tensor:
        """Classify the batch."""
        return self.subject.outputs(self.model, {"input_ids": ids, **self.rest})


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


class Curvlinops:
    """curvlinops (Dangel et al. 2025), with an operator on some parameters."""

    def __init__(self, setting: Setting, parameters: list[nn.Parameter]) -> None:
        import curvlinops  # type: ignore[import-not-found]  # noqa: PLC0415

        self.library = curvlinops
        data = [(setting.batch["input_ids"], setting.batch["label"])]
        self.operator: Any = curvlinops.HessianLinearOperator(
            Logits(setting), nn.CrossEntropyLoss(), parameters, data, check_deterministic=False
        )

    def product(self, vector: Tensor) -> Tensor:
        """Multiply with a vector or vectors."""
        result: Tensor = self.operator @ vector
        return result

    def trace(self, probes: int) -> None:
        """Estimate the trace."""
        self.library.hutchinson_trace(self.operator, probes)

    def largest(self, steps: int) -> None:
        """Find the largest eigenvalue."""
        arnoldi(self.operator.to_scipy(), steps)


class PyHessian:
    """PyHessian (Yao et al. 2020); a block is what is not frozen."""

    def __init__(self, setting: Setting, parameters: list[nn.Parameter]) -> None:
        import pyhessian  # type: ignore[import-not-found]  # noqa: PLC0415

        chosen = {id(parameter) for parameter in parameters}
        for parameter in setting.parameters:
            parameter.requires_grad_(id(parameter) in chosen)
            parameter.grad = None
        data = setting.batch["input_ids"], setting.batch["label"]
        self.product_of = pyhessian.utils.hessian_vector_product
        self.hessian: Any = pyhessian.hessian(
            Logits(setting).eval(), nn.CrossEntropyLoss(), data=data, cuda=False
        )
        for parameter in setting.parameters:
            parameter.requires_grad_(True)

    def product(self, vector: Tensor) -> Tensor:
        """Multiply with a vector or vectors."""
        pieces = torch.split(vector, [p.numel() for p in self.hessian.params])
        shaped = [piece.view_as(p) for piece, p in zip(pieces, self.hessian.params, strict=True)]
        product = self.product_of(self.hessian.gradsH, self.hessian.params, shaped)
        return torch.cat([part.flatten() for part in product])

    def trace(self, probes: int) -> None:
        """Estimate the trace."""
        self.hessian.trace(
            maxIter=probes, tol=-np.inf
        )  # else it stops at the second probe of a negative trace

    def largest(self, steps: int) -> None:
        """Find the largest eigenvalue."""
        self.hessian.eigenvalues(maxIter=steps, tol=-np.inf)


class Eigenthings:
    """hessian-eigenthings (Golmant et al. 2018)."""

    def __init__(self, setting: Setting, parameters: list[nn.Parameter]) -> None:
        import hessian_eigenthings  # type: ignore[import-not-found]  # noqa: PLC0415

        self.library = hessian_eigenthings
        model = Logits(setting)
        chosen = {id(parameter) for parameter in parameters}
        names = {name for name, parameter in model.named_parameters() if id(parameter) in chosen}
        self.operator: Any = hessian_eigenthings.HessianOperator(
            model,
            [(setting.batch["input_ids"], setting.batch["label"])],
            hessian_eigenthings.supervised_loss(nn.CrossEntropyLoss()),
            param_filter=lambda name, _: name in names,
        )

    def product(self, vector: Tensor) -> Tensor:
        """Multiply with a vector or vectors."""
        result: Tensor = self.operator.matvec(vector)
        return result

    def trace(self, probes: int) -> None:
        """Estimate the trace."""
        self.library.trace(self.operator, num_matvecs=probes, method="hutchinson", seed=0)

    def largest(self, steps: int) -> None:
        """Find the largest eigenvalue."""
        self.library.lanczos(self.operator, k=1, max_iter=min(steps, self.operator.size), which="LA")


ADAPTERS: dict[str, Any] = {
    "curvlinops": Curvlinops,
    "pyhessian": PyHessian,
    "hessian_eigenthings": Eigenthings,
}


def arnoldi(operator: Any, steps: int) -> None:
    """Let SciPy find the largest eigenvalue with about this many products."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh  # noqa: PLC0415

    with contextlib.suppress(ArpackNoConvergence):  # the budget is spent
        eigsh(operator, k=1, which="LA", ncv=min(steps, operator.shape[0] - 1), maxiter=1, tol=1e-3)


def model_order(setting: Setting) -> list[nn.Parameter]:
    """List parameters in the order of the model, which peers keep."""
    chosen = {id(parameter) for parameter in setting.parameters}
    return [parameter for parameter in setting.model.parameters() if id(parameter) in chosen]


def oracle(setting: Setting, vector: Tensor) -> Tensor:
    """Central differences of the gradient in double precision, parameters in the order of the model."""
    model = copy.deepcopy(setting.model).double()
    exact = replace(setting, model=model)
    parameters = model_order(exact)
    direction = torch.split(vector.double(), [p.numel() for p in parameters])
    ends = []
    for sign in (1, -1):
        for p, d in zip(parameters, direction, strict=True):
            p.data.add_(sign * 1e-6 * d.view_as(p))
        found = torch.autograd.grad(exact.loss(), parameters)
        ends.append(torch.cat([g.flatten() for g in found]))
        for p, d in zip(parameters, direction, strict=True):
            p.data.sub_(sign * 1e-6 * d.view_as(p))
    return (ends[0] - ends[1]) / 2e-6


def peers(device: str) -> None:
    """Time trace and largest eigenvalue of every block, which all peers offer."""
    setting = small("distilbert", 64, device)
    parameters = model_order(setting)
    ours = BlockHessian(setting.loss, {"all": parameters})
    vector = rademacher(ours, 1, torch.Generator().manual_seed(0))[:, 0]
    exact = oracle(setting, vector)
    found = [name for name in PEERS if installed(name)]
    print(f"not installed, left out: {', '.join(sorted(set(PEERS) - set(found))) or 'none'}")
    print("one product with the whole Hessian against central differences in double precision, worst block:")
    print(f"  {'ours':22}{worst_block(setting, ours @ vector, exact):.1e}")
    for name in found:
        product = ADAPTERS[name](setting, parameters).product(vector)
        print(f"  {name:22}{worst_block(setting, product, exact):.1e}")

    if "pyhessian" in found:
        defects_of_pyhessian(setting, parameters)

    probes, steps = 32, 16
    operator = setting.hessian()
    actions: dict[str, Callable[[], Any]] = {"ours": lambda: both_of_ours(operator, probes, steps)}
    for name in found:
        actions[name] = partial(both_of_peer, setting, ADAPTERS[name], probes, steps)
    times = alternate(actions, 3)
    count = len(setting.blocks)
    print(f"trace ({probes} probes) and largest eigenvalue ({steps} steps) of each of {count} blocks:")
    for name, measured in times.items():
        ratio = statistics.median(measured) / statistics.median(times["ours"])
        print(f"  {name:22}{shown(measured)}  {ratio:6.2f} times ours")


def defects_of_pyhessian(setting: Setting, parameters: list[nn.Parameter]) -> None:
    """Show where its trace stops when the trace is negative, and whether it still has a density."""
    negative: Any = PyHessian(setting, parameters).hessian
    negative.gradsH = [-gradient for gradient in negative.gradsH]
    print(f"pyhessian, trace of the negated Hessian, at most 100 probes: {len(negative.trace())} used")
    try:
        negative.density(iter=5)
    except RuntimeError as error:
        print(f"pyhessian, density: {str(error).splitlines()[0]}")
    else:
        print("pyhessian, density: runs")


def worst_block(setting: Setting, product: Tensor, exact: Tensor) -> float:
    """Largest relative error of the rows of a block, leaving out blocks whose rows are rounding."""
    order = {id(p): i for i, p in enumerate(model_order(setting))}
    sizes = [p.numel() for p in model_order(setting)]
    found, known = torch.split(product.double(), sizes), torch.split(exact, sizes)
    errors: list[float] = []
    for block in setting.blocks.values():
        a, b = (torch.cat([part[order[id(p)]] for p in block]) for part in (found, known))
        if b.norm() > 1e-6 * exact.norm():
            errors.append(((a - b).norm() / b.norm()).item())
    return max(errors)


def both_of_ours(operator: BlockHessian, probes: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for name in operator.names:
        hutchinson(operator[name, name], probes, generator)
        extremes(operator[name, name], steps, generator)


def both_of_peer(setting: Setting, adapter: Any, probes: int, steps: int) -> None:
    for block in setting.blocks.values():
        peer = adapter(setting, block)
        peer.trace(probes)
        peer.largest(steps)


def interactions(device: str, setting: Setting | None = None, budget: Budget = STANDARD) -> None:
    """Compare trace, norm, largest eigenvalue and all interactions at equal standard error."""
    setting = setting or small("distilbert", 64, device)
    operator = setting.hessian()
    seeds = 12
    started = time.perf_counter()
    profiles = [profile_operator(operator, budget, torch.Generator().manual_seed(s)) for s in range(seeds)]
    _finish()
    ours = (time.perf_counter() - started) / seeds
    names = operator.names
    upper = np.triu_indices(len(names))
    pairs = np.var([p.norms.squared[upper] for p in profiles], axis=0, ddof=1)
    by_metric = [p.table.query("metric == 'trace'")["estimate"].to_numpy() for p in profiles]
    traces = np.var(by_metric, axis=0, ddof=1)

    # a probe of a column has the same variance whoever multiplies; only its price is theirs
    plain = squared_norms(operator, 96, torch.Generator().manual_seed(1))
    of_pairs = np.var(plain.samples, axis=0, ddof=1)[upper]
    generator = torch.Generator().manual_seed(2)
    of_traces = np.array([96 * hutchinson(operator[n, n], 96, generator).stderr ** 2 for n in names])
    print(f"{setting.name}: {len(names)} blocks, {len(upper[0])} pairs")
    print(f"ours, all metrics: {ours:.2f} s a profile, {profiles[0].work}")
    if not installed("curvlinops"):
        print("curvlinops is not installed, left out")
        return
    peer = Curvlinops(setting, setting.parameters)
    widths = {width: torch.zeros(operator.shape[0], width) for width in (1, 8, 16)}
    times = alternate(
        {f"{width}": partial(peer.product, vectors) for width, vectors in widths.items()}
        | {"ours": lambda: operator.column(names[-1], torch.zeros(operator.sizes[names[-1]], 8))},
        5,
    )
    each = min(statistics.median(times[str(width)]) / width for width in widths)
    own = statistics.median(times["ours"]) / 8
    print(f"a column product: ours {1e3 * own:.1f} ms, curvlinops {1e3 * each:.1f} ms")
    eigen = statistics.median(alternate({"x": lambda: largest_by_curvlinops(setting, budget)}, 2)["x"])
    print(f"largest eigenvalue of every block by curvlinops and SciPy: {eigen:.2f} s")
    share = {"pairs": of_pairs / pairs, "traces": of_traces / traces}
    for label, needed in share.items():
        exact = ~np.isfinite(needed) | (needed > 1e6)
        some = needed[~exact]
        print(f"{label}: {exact.sum()} of {len(needed)} exact with ours; for the others curvlinops needs")
        for quantile in (0.1, 0.5, 0.9):
            probes = float(np.quantile(some, quantile))
            seconds = probes * len(names) * each + eigen
            bar = verdict(5, seconds >= 5 * ours) if quantile == 0.5 else ""
            ratio = seconds / ours
            print(
                f"  quantile {quantile}: {probes:7.0f} probes, {seconds:7.1f} s, {ratio:6.1f} times ours{bar}"
            )


def largest_by_curvlinops(setting: Setting, budget: Budget) -> None:
    for block in setting.blocks.values():
        Curvlinops(setting, block).largest(budget.steps)


def full(device: str) -> None:
    """Time four blocks of the full DistilBERT, ten products each."""
    setting = full_distilbert(device)
    chosen = {name: setting.blocks[name] for name in list(setting.blocks)[4:8]}
    measured, wanted = (10, 40) if device == "cuda" else (3, 40)
    started = time.perf_counter()
    operator = BlockHessian(setting.loss, chosen)
    _finish()
    graph = time.perf_counter() - started
    vectors = {name: torch.ones(size, device=device) for name, size in operator.sizes.items()}
    times = alternate({name: partial(operator.column, name, vectors[name]) for name in chosen}, measured)
    each = statistics.mean(statistics.median(column) for column in times.values())
    ours = graph + wanted * each
    print(f"{setting.name} on {device}, ten products with the column of each of {', '.join(chosen)}")
    print(f"  ours: graph {graph:.2f} s, product {each:.2f} s; {wanted} products {ours:.1f} s (EXTRAPOLATED)")
    for name in PEERS:
        if installed(name) and (device == "cpu" or name != "pyhessian"):
            started = time.perf_counter()
            peer = ADAPTERS[name](setting, [p for block in chosen.values() for p in block])
            _finish()
            graph = time.perf_counter() - started
            vector = torch.ones(operator.shape[0], device=device)
            one = statistics.median(alternate({"x": partial(peer.product, vector)}, 2)["x"])
            total = graph + wanted * one
            bar = verdict(3, total >= 3 * ours) if name == "curvlinops" else ""
            print(f"  {name}: product {one:.2f} s; {wanted} products {total:.1f} s (EXTRAPOLATED), ", end="")
            print(f"{total / ours:.2f} times ours{bar}")


MEMORY = """
import resource, sys, torch
sys.path.insert(0, {folder!r})
torch.set_num_threads(1)
from curvature import *
setting = full_distilbert("cpu")
if {kind!r} == "gradient":
    torch.autograd.grad(setting.loss(), setting.parameters, create_graph=True)
else:
    budget = Budget(STANDARD.rank, {probes}, 2, STANDARD.steps)
    blocks = {{name: setting.blocks[name] for name in {names!r}}}
    rest = {{id(p) for block in blocks.values() for p in block}}
    blocks["rest"] = [p for p in setting.parameters if id(p) not in rest]
    operator = BlockHessian(setting.loss, blocks)
    profile = profile_operator(operator, budget, torch.Generator().manual_seed(0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


def memory(_: str) -> None:
    """Compare the peak memory of a profile with that of one gradient with its graph."""
    # peaks do not depend on the number of probes, so two do; all other parameters are one block, the largest
    names = ["tokens.embedding", "layer5.ffn"]
    peak = {}
    for kind in ("gradient", "profile"):
        code = MEMORY.format(folder=str(Path(__file__).parent), kind=kind, probes=2, names=names)
        finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peak[kind] = float(finished.stdout.split()[-1])
        print(f"  {kind}: peak {peak[kind]:,.0f} MiB", flush=True)
    ratio = peak["profile"] / peak["gradient"]
    print(f"peak of a profile: {ratio:.2f} times one gradient with its graph{verdict(2.5, ratio <= 2.5)}")


def growth(device: str, plot: Path | None = None) -> None:
    """Time an economy profile as the model grows in one way."""
    rows: list[tuple[Any, ...]] = []
    ways: dict[str, list[tuple[int, dict[str, Any], int, int]]] = {
        "blocks": [(n, {"layers": 3}, 16, n) for n in (6, 12, 24, 48)],
        "layers": [(n, {"layers": n}, 16, 0) for n in (3, 6, 12)],
        "width": [(n, {"width": n, "feed_forward": n}, 16, 0) for n in (32, 64, 128)],
        "batch": [(n, {}, n, 0) for n in (16, 32, 64, 128)],
    }
    for grown, cases in ways.items():
        for value, sizes, samples, blocks in cases:
            setting = small("distilbert", samples, device, **sizes)
            groups = regroup(setting.parameters, blocks) if blocks else setting.blocks
            operator = BlockHessian(setting.loss, groups)
            started = time.perf_counter()
            profile = profile_operator(operator, ECONOMY, torch.Generator().manual_seed(0))
            _finish()
            seconds = time.perf_counter() - started
            one = statistics.median(alternate({"x": partial(gradient, setting)}, 5)["x"])
            spent = profile.work.products
            rows.append(
                (
                    grown,
                    value,
                    len(operator.names),
                    operator.shape[0],
                    spent,
                    seconds,
                    seconds / one / spent,
                )
            )
    print("grown    value  blocks  parameters  products  seconds  gradients a product (the limit is about 2)")
    for row in rows:
        print("{:8} {:5} {:7} {:11,} {:9} {:8.2f} {:6.2f}".format(*row))
    if plot:
        draw(rows, plot)


def regroup(parameters: list[nn.Parameter], count: int) -> dict[str, list[nn.Parameter]]:
    """Spread the parameters over so many blocks, in their order."""
    places = np.array_split(np.arange(len(parameters)), count)
    return {f"block{i}": [parameters[j] for j in part] for i, part in enumerate(places)}


def draw(rows: list[tuple[Any, ...]], folder: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    kinds = list(dict.fromkeys(row[0] for row in rows))
    figure, axes = plt.subplots(1, len(kinds), figsize=(12, 3), sharey=True, layout="constrained")
    for axis, kind in zip(axes, kinds, strict=True):
        values = [row[1] for row in rows if row[0] == kind]
        axis.loglog(values, [row[5] for row in rows if row[0] == kind], "o-", label="seconds")
        axis.set(xlabel=kind, xticks=values, xticklabels=values)
        axis.minorticks_off()
    axes[0].set_ylabel("seconds of an economy profile")
    figure.savefig(folder / "curvature_growth.svg", metadata={"Date": None})


def coverage(_: str) -> None:
    """Count how often 95% t-intervals hold the truth, by budget, on the blocks of a small network."""
    import scipy.stats  # noqa: PLC0415

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 3)
    ).double()
    inputs, labels = torch.randn(24, 6).double(), torch.arange(24) % 3
    blocks = {
        name: list(child.parameters()) for name, child in model.named_children() if [*child.parameters()]
    }
    operator = BlockHessian(
        lambda: nn.functional.cross_entropy(model(inputs), labels), blocks, probes_at_once=64
    )
    matrix = operator @ torch.eye(operator.shape[0], dtype=torch.double)
    sizes = list(operator.sizes.values())
    parts = [torch.split(row, sizes, dim=1) for row in torch.split(matrix, sizes, dim=0)]
    truth = np.array([[part.square().sum().item() for part in row] for row in parts])
    upper = np.triu_indices(len(parts))
    print("probes  rank  coverage of 95% intervals of squared norms, 200 seeds: pooled, worst pair")
    for probes in (4, 8, 16, 32, 64):
        for rank in (0, 4, 8):
            t = scipy.stats.t.ppf(0.975, probes - 1)
            hits = []
            for seed in range(200):
                norms = squared_norms(operator, probes, torch.Generator().manual_seed(seed), rank=rank)
                hits.append((np.abs(norms.squared - truth) <= t * norms.stderr)[upper])
            print(f"{probes:6} {rank:5}  {np.mean(hits):.3f}  {np.mean(hits, axis=0).min():.3f}")


SECTIONS: dict[str, Callable[[str], None]] = {
    "products": products,
    "peers": peers,
    "interactions": interactions,
    "coverage": coverage,
    "full": full,
    "memory": memory,
}


def main() -> None:
    """Run the sections that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections", nargs="*", default=["products", "peers", "interactions", "growth", "coverage"]
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plot", type=Path, help="folder for the figure of `growth`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread of {os.cpu_count()}")
    for name, distribution in PEERS.items():
        print(f"{name} {importlib.metadata.version(distribution) if installed(name) else 'not installed'}")
    for section in options.sections:
        print(f"\n== {section} ==", flush=True)
        if section == "growth":
            growth(options.device, options.plot)
        else:
            SECTIONS[section](options.device)


if __name__ == "__main__":
    main()
