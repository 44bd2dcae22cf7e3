"""Gradient methods: TorchJD's numbers, formulas written out by hand, properties, and gradients
where they belong.
"""

from __future__ import annotations

import copy
import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torchjd import aggregation as oracle

from emomtl import EmomtlError, SharedParameters, TaskFacts
from emomtl_plugins.weightings.gradients.aligned_mtl import AlignedMtl
from emomtl_plugins.weightings.gradients.cagrad import CAGrad
from emomtl_plugins.weightings.gradients.conflict_free import ConflictFree
from emomtl_plugins.weightings.gradients.dualproj import DualProj
from emomtl_plugins.weightings.gradients.fairgrad import FairGrad
from emomtl_plugins.weightings.gradients.graddrop import GradDrop
from emomtl_plugins.weightings.gradients.gradvac import GradVac
from emomtl_plugins.weightings.gradients.imtl_g import ImtlGradient
from emomtl_plugins.weightings.gradients.mgda import Mgda
from emomtl_plugins.weightings.gradients.nash_mtl import NashMtl
from emomtl_plugins.weightings.gradients.pcgrad import PCGrad
from emomtl_plugins.weightings.gradients.upgrad import UPGrad

METHODS = {
    "pcgrad": (PCGrad(), lambda t: oracle.PCGrad(), 1e-5),
    "gradvac": (GradVac(), lambda t: oracle.GradVac(), 1e-5),
    "graddrop": (GradDrop(), lambda t: oracle.GradDrop(), 1e-5),
    "graddrop with a leak": (
        GradDrop(leak=0.3),
        lambda t: oracle.GradDrop(leak=torch.full((t,), 0.3)),
        1e-5,
    ),
    "conflict-free": (ConflictFree(), lambda t: oracle.ConFIG(), 1e-4),
    "mgda": (Mgda(total="one"), lambda t: oracle.MGDA(), 1e-3),
    "cagrad": (CAGrad(rescale=0, total="one"), lambda t: oracle.CAGrad(0.4), 1e-3),
    "upgrad": (UPGrad(total="one"), lambda t: oracle.UPGrad(), 1e-3),
    "dualproj": (DualProj(total="one"), lambda t: oracle.DualProj(), 1e-3),
    "imtl-g": (ImtlGradient(total="one"), lambda t: oracle.IMTLG(), 1e-4),
    "nash-mtl": (NashMtl(), lambda t: oracle.NashMTL(t), 1e-3),
    "fairgrad": (FairGrad(), lambda t: oracle.FairGrad(1.0), 1e-3),
    "fairgrad of 2": (FairGrad(alpha=2.0), lambda t: oracle.FairGrad(2.0), 1e-3),
    "aligned-mtl": (AlignedMtl(total="one"), lambda t: oracle.AlignedMTL(), 1e-4),
    "aligned-mtl by the mean": (
        AlignedMtl(scale="rmse", total="one"),
        lambda t: oracle.AlignedMTL(scale_mode="rmse"),
        1e-4,
    ),
}
DIM = 8
JACOBIANS = {
    "TorchJD's": [[-4.0, 1.0, 1.0, 0, 0, 0, 0, 0], [6.0, 1.0, 1.0, 0, 0, 0, 0, 0]],
    "two": np.random.default_rng(1).standard_normal((2, DIM)).tolist(),
    "three": np.random.default_rng(2).standard_normal((3, DIM)).tolist(),
    "three against each other": (
        (np.random.default_rng(3).standard_normal((3, DIM)) - [[1.0], [0.0], [-1.0]]).tolist()
    ),
    "of unlike sizes": (
        (
            np.random.default_rng(4).standard_normal((4, DIM)) * [[1.0], [3.0], [0.2], [0.05]]
        ).tolist()
    ),
}
PAIRS = st.lists(st.floats(-3, 3), min_size=12, max_size=12).map(
    lambda values: np.array(values).reshape(2, 6)
)


class _Bench:
    """Losses that are linear in a shared vector: their gradients are the rows of a matrix."""

    def __init__(self, weighting, jacobian, moment):
        self.weighting = weighting
        self.jacobian = torch.as_tensor(jacobian, dtype=torch.float32)
        self.tasks = {f"task-{i}": TaskFacts(9, 2, "numbers") for i in range(len(self.jacobian))}
        self.parts = [
            nn.Parameter(torch.zeros(2, 2)),
            nn.Parameter(torch.zeros(self.jacobian.shape[1] - 4)),
        ]
        self.heads = {task: nn.Parameter(torch.zeros(())) for task in self.tasks}
        self.now = moment(sizes=dict.fromkeys(self.tasks, 9))
        self.state = weighting.start(self.tasks, SharedParameters(self.parts, last=self.parts[1:]))

    def step(self, jacobian=None, seed=7, shares=(1.0,)):
        """The gradient of the shared vector after a step, and the weights that were reported."""
        given = (
            self.jacobian if jacobian is None else torch.as_tensor(jacobian, dtype=torch.float32)
        )
        for parameter in (*self.parts, *self.heads.values()):
            parameter.grad = None
        for share in shares:
            flat = torch.cat([part.flatten() for part in self.parts])
            losses = {
                task: row @ flat + self.heads[task]
                for task, row in zip(self.tasks, given, strict=True)
            }
            self.weighting.backward(self.state, losses, replace(self.now, share=share))
        torch.manual_seed(seed)
        weights = self.weighting.finish(self.state, self.now)
        return torch.cat([part.grad.flatten() for part in self.parts]), torch.stack(
            list(weights.values())
        )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("jacobian", JACOBIANS.values(), ids=list(JACOBIANS))
def test_the_mixture_is_torchjds_over_several_steps(moment, name, jacobian):
    """Seeds are injected, so that orders and masks are the same; several steps, as some methods
    remember.
    """
    weighting, theirs, tolerance = METHODS[name]
    bench, aggregator = _Bench(weighting, jacobian, moment), theirs(len(jacobian))
    for step in range(3):
        matrix = bench.jacobian * (1 + 0.2 * step) + 0.1 * step
        found, _ = bench.step(matrix, seed=step)
        torch.manual_seed(step)
        expected = _quiet(aggregator, matrix)
        torch.testing.assert_close(
            found, expected, rtol=tolerance, atol=tolerance * float(expected.abs().max())
        )


def _quiet(aggregator, matrix):
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="You are solving a parameterized problem that is not DPP"
        )
        return aggregator(matrix)


@pytest.mark.parametrize("name", METHODS)
def test_four_micro_batches_are_mixed_once(moment, name):
    weighting = METHODS[name][0]
    once, _ = _Bench(weighting, JACOBIANS["three"], moment).step()
    bench = _Bench(weighting, JACOBIANS["three"], moment)
    cut, _ = bench.step(shares=(0.25,) * 4)
    torch.testing.assert_close(cut, once, rtol=1e-5, atol=1e-6)
    assert not bench.state.get_buffer("rows").any()
    assert [head.grad.item() for head in bench.heads.values()] == [1.0] * 3


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("graddrop")])
def test_the_weights_that_are_reported_make_the_mixture(moment, name):
    bench = _Bench(METHODS[name][0], JACOBIANS["three against each other"], moment)
    found, weights = bench.step()
    torch.testing.assert_close(weights @ bench.jacobian, found, rtol=1e-5, atol=1e-5)


def test_the_weights_of_graddrop_come_closest_to_its_mixture(moment):
    bench = _Bench(GradDrop(), JACOBIANS["three"], moment)
    found, weights = bench.step()
    best = np.linalg.lstsq(bench.jacobian.numpy().T, found.numpy(), rcond=None)[0]
    assert weights.tolist() == pytest.approx(best.tolist(), abs=1e-4)


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1e2])
@pytest.mark.parametrize(
    "name", [name for name in METHODS if name[:4] not in ("fair", "nash", "grad")]
)
def test_small_gradients_are_mixed_like_large_ones(moment, name, size):
    """TorchJD 0.18 takes gradients with a norm below 0.01 for none in CAGrad, and for other ones in
    UPGrad and DualProj.
    """
    weighting, jacobian = METHODS[name][0], JACOBIANS["three against each other"]
    plain, _ = _Bench(weighting, jacobian, moment).step()
    found, _ = _Bench(weighting, np.array(jacobian) * size, moment).step()
    torch.testing.assert_close(found / size, plain, rtol=1e-3, atol=1e-3)


def test_conflict_free_works_where_torchs_pseudo_inverse_fails(moment):
    """pinv of a float32 matrix cuts at 1.2e-7 of the largest singular value times the longer side:
    all, from 8.4 million on.
    """
    wide = torch.zeros(2, 8_500_000)
    wide[:, :3] = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
    narrow = wide[:, :8]
    assert not oracle.ConFIG()(wide).any()
    bench = _Bench(ConflictFree(), narrow, moment)
    weights = ConflictFree().weights(bench.state, wide @ wide.T, 1.0)
    torch.testing.assert_close(
        weights @ narrow.double(), oracle.ConFIG()(narrow.double()), rtol=1e-4, atol=1e-4
    )


# -- formulas by hand


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jacobian=PAIRS)
def test_pcgrad_of_two_is_its_closed_form(moment, jacobian):
    a, b = jacobian
    assume(min(a @ a, b @ b) > 1e-2)
    dot = min(0.0, float(a @ b))
    expected = (a - dot / (b @ b) * b) + (b - dot / (a @ a) * a)
    found, _ = _Bench(PCGrad(), jacobian, moment).step()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jacobian=PAIRS)
def test_mgda_of_two_is_its_closed_form(moment, jacobian):
    a, b = jacobian
    assume(min(a @ a, b @ b) > 1e-2 and (a - b) @ (a - b) > 1e-2)
    share = np.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
    found, _ = _Bench(Mgda(total="one"), jacobian, moment).step()
    np.testing.assert_allclose(found.numpy(), share * a + (1 - share) * b, rtol=1e-3, atol=1e-2)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(jacobian=PAIRS, c=st.floats(0.1, 0.9))
def test_cagrad_of_two_is_the_best_of_a_grid(moment, jacobian, c):
    """min over w of g_w g_0 + c |g_0| |g_w|, looked for on a fine grid, and the d that follows from
    it.
    """
    a, b = jacobian
    mean = (a + b) / 2
    assume(
        min(a @ a, b @ b) > 1e-2
        and mean @ mean > 1e-2
        and np.linalg.norm(np.cross([*a[:2], 0], [*b[:2], 0])) > 1e-1
    )
    grid = np.linspace(0, 1, 20_001)[:, None]
    mixed = grid * a + (1 - grid) * b
    radius = c * np.linalg.norm(mean)
    best = mixed[np.argmin(mixed @ mean + radius * np.linalg.norm(mixed, axis=1))]
    expected = (mean + radius * best / np.linalg.norm(best)) / (1 + c**2)
    found, _ = _Bench(CAGrad(c=c, total="one"), jacobian, moment).step()
    np.testing.assert_allclose(
        found.numpy(), expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max()
    )


# -- properties


MATRICES = st.integers(2, 4).flatmap(
    lambda t: st.lists(
        st.lists(st.floats(-3, 3), min_size=6, max_size=6), min_size=t, max_size=t
    ).map(np.array)
)


def _fit(jacobian):
    """Whether every row has a length, and no two point the same way or against each other, which
    floats cannot tell apart.
    """
    lengths = np.linalg.norm(jacobian, axis=1)
    if lengths.min() < 0.1:
        return False
    units = jacobian / lengths[:, None]
    return np.linalg.eigvalsh(units @ units.T).min() > 0.05


@pytest.mark.parametrize(
    "method",
    [UPGrad(), DualProj(), Mgda(max_iters=1000, epsilon=1e-6)],
    ids=["upgrad", "dualproj", "mgda"],
)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(jacobian=MATRICES)
def test_no_loss_rises_along_the_mixture(moment, method, jacobian):
    assume(_fit(jacobian))
    found, _ = _Bench(method, jacobian, moment).step()
    assert (
        torch.tensor(jacobian, dtype=torch.float32) @ found
    ).min().item() > -2e-2 * found.norm().item()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(jacobian=MATRICES)
def test_imtl_g_has_the_same_part_along_every_gradient(moment, jacobian):
    assume(_fit(jacobian))
    found, weights = _Bench(ImtlGradient(total="one"), jacobian, moment).step()
    assume(weights.abs().max() < 100)
    parts = (
        torch.tensor(jacobian / np.linalg.norm(jacobian, axis=1)[:, None], dtype=torch.float32)
        @ found
    )
    torch.testing.assert_close(parts, parts.mean().expand(len(parts)), rtol=1e-2, atol=1e-2)
    assert weights.sum().item() == pytest.approx(1, abs=1e-3)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(jacobian=MATRICES)
def test_conflict_free_has_the_same_cosine_to_every_gradient(moment, jacobian):
    assume(_fit(jacobian))
    found, _ = _Bench(ConflictFree(), jacobian, moment).step()
    units = torch.tensor(jacobian / np.linalg.norm(jacobian, axis=1)[:, None], dtype=torch.float32)
    cosines = units @ found / found.norm()
    torch.testing.assert_close(cosines, cosines.mean().expand(len(cosines)), rtol=1e-3, atol=1e-3)
    assert cosines.min() > 0


@settings(max_examples=15, deadline=None, derandomize=True)
@given(jacobian=MATRICES, alpha=st.sampled_from([0.5, 1.0, 2.0]))
def test_fairgrad_solves_its_equation(moment, jacobian, alpha):
    assume(_fit(jacobian))
    _, weights = _Bench(FairGrad(alpha=alpha), jacobian, moment).step()
    left = torch.tensor(jacobian @ jacobian.T) @ weights.double()
    torch.testing.assert_close(left, weights.double() ** (-1 / alpha), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("jacobian", [JACOBIANS["two"], JACOBIANS["three"]], ids=["two", "three"])
def test_nash_mtl_solves_its_equation_up_to_a_scale(moment, jacobian):
    """On matrices that its solver likes: the authors' rounds of programs do not always come to the
    solution, and stop.
    """
    bench = _Bench(NashMtl(iterations=200), jacobian, moment)
    _, weights = bench.step()
    product = weights * (bench.jacobian @ bench.jacobian.T @ weights)
    assert weights.min() > 0
    torch.testing.assert_close(product, product.mean().expand(len(product)), rtol=5e-2, atol=0)


def test_upgrad_of_two_is_pcgrad(moment):
    found, _ = _Bench(UPGrad(), JACOBIANS["two"], moment).step()
    expected, _ = _Bench(PCGrad(), JACOBIANS["two"], moment).step()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "method", [Mgda(), CAGrad(), UPGrad(), DualProj(), ImtlGradient(), AlignedMtl()]
)
def test_equal_gradients_give_their_sum_or_their_mean(moment, method):
    row = np.array([[1.0, 2.0, -1.0, 0.5, 0.0, 1.0]])
    jacobian = np.concatenate([row + 0.01, row - 0.01])
    change = {"rescale": 0, "c": 0.0} if isinstance(method, CAGrad) else {}
    many = _Bench(replace(method, **change), jacobian, moment).step()[1].sum().item()
    one = _Bench(replace(method, total="one", **change), jacobian, moment).step()[1].sum().item()
    assert many == pytest.approx(2 * one, rel=1e-5)
    if not isinstance(method, AlignedMtl):  # which is as long as the shortest principal component
        assert one == pytest.approx(1, abs=0.02)


def test_nash_mtl_updates_rarely_and_bounds_the_norm(moment):
    bench = _Bench(NashMtl(update_every=2, max_norm=0.5), JACOBIANS["two"], moment)
    norms, found = [], []
    for step in range(4):
        mixture, weights = bench.step(bench.jacobian + 0.3 * step)
        norms.append(mixture.norm().item())
        found.append((weights / weights.sum()).tolist())
    assert max(norms) <= 0.5 + 1e-5
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[2] == pytest.approx(found[3], rel=1e-5)
    assert found[1] != pytest.approx(found[2], rel=1e-3)


def test_orders_and_masks_depend_on_the_seed(moment):
    jacobian = np.random.default_rng(5).standard_normal((4, 6))
    for method in (PCGrad(), GradDrop()):
        same = [_Bench(method, jacobian, moment).step(seed=3)[0] for _ in range(2)]
        assert torch.equal(*same)
        assert any(
            not torch.equal(_Bench(method, jacobian, moment).step(seed=seed)[0], same[0])
            for seed in range(20)
        )


# -- where gradients belong


@pytest.mark.parametrize("name", METHODS)
def test_the_scope_last_layer_mixes_there_alone(moment, name):
    weighting = replace(METHODS[name][0], scope="last-layer")
    jacobian = np.random.default_rng(6).standard_normal((3, 9))
    bench = _Bench(weighting, jacobian, moment)
    found, _ = bench.step(shares=(0.5, 0.5))
    torch.testing.assert_close(found[:4], bench.jacobian[:, :4].sum(0))
    padded = np.concatenate([np.zeros((3, 4)), jacobian[:, 4:]], axis=1)
    if name.startswith("graddrop"):
        torch.manual_seed(7)
        inside = METHODS[name][1](3)(torch.tensor(jacobian[:, 4:], dtype=torch.float32))
    else:
        inside = _Bench(METHODS[name][0], padded, moment).step()[0][4:]
    torch.testing.assert_close(found[4:], inside, rtol=1e-4, atol=1e-5)
    assert [head.grad.item() for head in bench.heads.values()] == [1.0] * 3


def test_a_gradient_that_is_there_already_stays_and_is_added_to(moment):
    for scope in ("all", "last-layer"):
        bench = _Bench(PCGrad(scope=scope), JACOBIANS["two"], moment)
        alone, _ = bench.step()
        bench.parts[1].grad = torch.ones(DIM - 4)
        bench.parts[0].grad = None
        flat = torch.cat([part.flatten() for part in bench.parts])
        bench.weighting.backward(
            bench.state,
            {t: r @ flat for t, r in zip(bench.tasks, bench.jacobian, strict=True)},
            bench.now,
        )
        bench.weighting.finish(bench.state, bench.now)
        torch.testing.assert_close(bench.parts[1].grad, alone[4:] + 1)
        torch.testing.assert_close(bench.parts[0].grad.flatten(), alone[:4])


@pytest.mark.parametrize("name", METHODS)
def test_a_task_without_a_gradient_leaves_the_mixture_to_the_others(moment, name):
    bench = _Bench(METHODS[name][0], JACOBIANS["three"], moment)
    matrix = bench.jacobian.clone()
    matrix[1] = 0
    found, weights = bench.step(matrix)
    assert torch.isfinite(found).all()
    assert torch.isfinite(weights).all()
    if METHODS[name][0].remembers:
        torch.testing.assert_close(found, matrix.sum(0))
    elif not name.startswith("graddrop"):
        expected, _ = _Bench(METHODS[name][0], matrix[[0, 2]], moment).step()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_task_alone_gets_its_gradient_as_it_is(moment, name):
    found, weights = _Bench(METHODS[name][0], [JACOBIANS["two"][0]], moment).step()
    torch.testing.assert_close(found, torch.tensor(JACOBIANS["two"][0]))
    assert weights.tolist() == pytest.approx([1.0], rel=1e-5)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", METHODS)
def test_a_step_that_is_not_finite_leaves_no_trace(moment, name, broken):
    bench = _Bench(METHODS[name][0], JACOBIANS["three"], moment)
    bench.step()
    before = copy.deepcopy(bench.state.state_dict())
    matrix = bench.jacobian.clone()
    matrix[0, 2] = broken
    found, _ = bench.step(matrix)
    assert not torch.isfinite(found).all()
    assert all(torch.equal(tensor, before[key]) for key, tensor in bench.state.state_dict().items())
    assert torch.isfinite(bench.step()[0]).all()


@pytest.mark.parametrize("name", METHODS)
def test_mixed_precision_losses_have_their_gradients_summed_in_float32(moment, name):
    """Under autocast the products are in bfloat16; rows and mixture are float32, and near those of
    a float32 run.
    """
    generator = torch.Generator().manual_seed(4)
    inputs, targets = (
        torch.randn(16, 6, generator=generator),
        torch.randn(3, 16, 1, generator=generator),
    )
    mixtures = []
    for half in (False, True):
        layer = nn.Linear(6, 1)
        with torch.no_grad():
            layer.weight.fill_(0.1)
            layer.bias.zero_()
        tasks = {f"task-{i}": TaskFacts(9, 2, "numbers") for i in range(3)}
        weighting = METHODS[name][0]
        state = weighting.start(tasks, SharedParameters(layer.parameters()))
        now = moment(sizes=dict.fromkeys(tasks, 9))
        for part in range(4):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                answer = layer(inputs[part::4])
            assert answer.dtype == (torch.bfloat16 if half else torch.float32)
            losses = {
                task: ((answer.float() - targets[i][part::4]) ** 2).mean()
                for i, task in enumerate(tasks)
            }
            weighting.backward(state, losses, replace(now, share=0.25))
        assert state.get_buffer("rows").dtype == torch.float32
        torch.manual_seed(1)
        weighting.finish(state, now)
        mixtures.append(torch.cat([layer.weight.grad.flatten(), layer.bias.grad]))
    assert mixtures[1].dtype == torch.float32
    apart = (mixtures[0] - mixtures[1]).norm() / mixtures[0].norm()
    assert apart.item() < 0.1


def test_without_torchjd_the_manifest_is_refused_with_what_to_install(facts, monkeypatch):
    real = importlib.util.find_spec
    lacking = {"torchjd", "ecos"}
    monkeypatch.setattr(
        "emomtl_plugins.weightings.gradients.method.find_spec",
        lambda name: None if name in lacking else real(name),
    )
    with pytest.raises(EmomtlError) as caught:
        NashMtl().check(facts)
    assert (
        str(caught.value)
        == "weighting.use: needs torchjd and ecos, which are not installed (`pip install"
        ' "emomtl[torchjd]"`)'
    )
