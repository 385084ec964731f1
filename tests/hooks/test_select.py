import itertools

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Site
from counterfactory.hooks.clock import Call
from counterfactory.hooks.select import slice_of

Z3, Z4 = torch.randn(4, 5, 6), torch.randn(4, 6, 3, 3)
TOKENS = {"int": 2, "list": [3, 0], "slice": slice(1, 4), "step": slice(0, 5, 2), None: None}
UNITS = {"int": 4, "list": [5, 1], "slice": slice(2, 4), "mask": torch.tensor([1, 0, 0, 1, 1, 0]) > 0, None: None}
ROWS = {"int": 1, "list": [3, 0], "slice": slice(1, 3), None: None}


def picked(value, n):
    """The numbers that an index names, by plain Python."""
    if value is None:
        return list(range(n))
    if isinstance(value, int):
        return [value]
    if isinstance(value, torch.Tensor):
        return [i for i in range(n) if value[i]]
    return list(range(n))[value] if isinstance(value, slice) else list(value)


@pytest.mark.parametrize("keys", list(itertools.product(ROWS, TOKENS, UNITS)), ids=str)
def test_a_slice_reads_and_writes_what_the_indices_name(keys):
    rows, tokens, units = ROWS[keys[0]], TOKENS[keys[1]], UNITS[keys[2]]
    piece = slice_of(Site("x", rows=rows, tokens=tokens, units=units), Z3, Call(), {})
    R, T, U = picked(rows, 4), picked(tokens, 5), picked(units, 6)
    natural = piece.read(Z3)
    assert torch.equal(natural, Z3[R][:, T][:, :, U])
    before, out = Z3.clone(), piece.write(Z3, natural, natural + 1)
    expected = Z3.clone()
    for r, t, u in itertools.product(R, T, U):
        expected[r, t, u] += 1
    assert torch.equal(out, expected) and torch.equal(Z3, before)


@pytest.mark.parametrize(("rows", "units"), list(itertools.product(ROWS.values(), UNITS.values())))
def test_units_of_a_convolution_are_channels(rows, units):
    piece = slice_of(Site("x", rows=rows, units=units), Z4, Call(), {})
    assert torch.equal(piece.read(Z4), Z4[picked(rows, 4)][:, picked(units, 6)])


def test_the_unit_axis_can_be_chosen():
    piece = slice_of(Site("x", rows=[0, 2], units=[2, 1], axis=-1), Z4, Call(), {})
    assert torch.equal(piece.read(Z4), Z4[[0, 2]][..., [2, 1]])
    conv1d = slice_of(Site("x", units=0, axis=1), Z3, Call(), {})
    assert torch.equal(conv1d.read(Z3), Z3[:, :1])


@pytest.mark.parametrize("z", [Z3, Z4], ids=["last axis", "channels"])
def test_a_basis_edits_coordinates_and_leaves_the_rest(z):
    Q = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q.float()
    U, rest = Q[:, :2], Q[:, 2:]
    piece = slice_of(Site("x", units=U), z, Call(), {})
    natural = piece.read(z)
    out = piece.write(z, natural, torch.full_like(natural, 7.0))
    last = out.movedim(piece.axis, -1)
    assert torch.allclose(last @ U, torch.full_like(last @ U, 7.0), atol=1e-5)
    assert torch.allclose(last @ rest, z.movedim(piece.axis, -1) @ rest, atol=1e-5)


def test_gradients_flow_through_the_new_values_and_the_rest():
    z, new = Z3.clone().requires_grad_(), torch.zeros(4, 1, 6, requires_grad=True)
    piece = slice_of(Site("x", tokens=1), z, Call(), {})
    piece.write(z, piece.read(z), new).sum().backward()
    assert torch.equal(new.grad, torch.ones(4, 1, 6))
    assert torch.equal(z.grad[:, 1], torch.zeros(4, 6)) and bool((z.grad[:, [0, 2, 3, 4]] == 1).all())


@pytest.mark.parametrize(
    ("site", "z"),
    [
        (Site("x", units=6), Z3),
        (Site("x", units=-7), Z3),
        (Site("x", units=[0, 9]), Z3),
        (Site("x", units=slice(0, 7)), Z3),
        (Site("x", units=slice(3, 3)), Z3),
        (Site("x", units=torch.tensor([True, False])), Z3),
        (Site("x", units=torch.eye(5)), Z3),
        (Site("x", rows=4), Z3),
        (Site("x", rows=[]), Z3),
        (Site("x", tokens=0), Z4),
        (Site("x", when="prefill"), Z4),
        (Site("x", tokens=5), Z3),
        (Site("x", tokens=-6), Z3),
        (Site("x", tokens="subject"), Z3),
        (Site("x", tokens=torch.ones(3, 5) > 0), Z3),
        (Site("x", tokens=torch.ones(4, 4) > 0), Z3),
        (Site("x", units=0, axis=3), Z3),
    ],
    ids=lambda value: f"{value.ndim} axes" if isinstance(value, torch.Tensor) else str(value),
)
def test_what_does_not_fit_is_refused(site, z):
    with pytest.raises(CounterfactoryError):
        slice_of(site, z, Call(), {})


def test_a_slice_keeps_its_shape():
    piece = slice_of(Site("x", tokens=0), Z3, Call(), {})
    with pytest.raises(CounterfactoryError, match="changed the shape"):
        piece.write(Z3, piece.read(Z3), torch.zeros(4, 2, 6))
