"""Attributes: from label columns to codes and back, and what goes with what."""

import pytest
import torch

from counterfactory.causal import Add, Scale, Set
from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.attribute_joint import AttributeJoint
from counterfactory.learn.images.attributes import Attribute, AttributeTable, infer, spec

COLUMNS = ("age", "glasses", "shape", "name")
TABLE = AttributeTable(COLUMNS, spec(binary=["glasses"], categorical={"shape": 3}, continuous={"age": (40.0, 10.0)}))
LABELS = torch.tensor([[50.0, 1.0, 2.0, 7.0], [35.0, 0.0, 0.0, 8.0]])
CODES = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, -0.5]])  # glasses, shape, age


def test_columns_are_found_by_name_and_come_back() -> None:
    assert torch.equal(TABLE.read(LABELS), CODES)
    assert torch.equal(TABLE.raw(CODES), LABELS[:, [1, 2, 0]])
    assert torch.equal(TABLE.vector(CODES), torch.tensor([[1.0, 0, 0, 1, 1.0], [0.0, 1, 0, 0, -0.5]]))
    assert TABLE.width == 5


def test_do_speaks_raw_units_and_leaves_the_rest() -> None:
    do = {"age": Add(20.0), "shape": torch.tensor([1, 2]), "glasses": Set(0)}
    assert torch.equal(TABLE.change(CODES, do), torch.tensor([[0.0, 1.0, 3.0], [0.0, 2.0, 1.5]]))
    assert torch.equal(TABLE.change(CODES, {"age": Scale(0.5)})[:, 2], torch.tensor([-1.5, -2.25]))
    known = TABLE.given({"shape": 2}, 2)
    assert torch.equal(known.isnan(), torch.tensor([[True, False, True]] * 2)) and bool((known[:, 1] == 2).all())
    assert TABLE.named(do).tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("do", "what"),
    [
        ({"shape": 3}, "'shape' cannot have this value"),
        ({"shape": Add(1)}, "'shape' cannot have this value"),
        ({"glasses": 0.5}, "'glasses' cannot have this value"),
        ({"age": torch.nan}, "'age' cannot have this value"),
        ({"shap": 1}, "did you mean 'shape'"),
    ],
)
def test_values_that_an_attribute_cannot_have(do: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        TABLE.change(CODES, do)


def test_tables_that_make_no_sense() -> None:
    with pytest.raises(CounterfactoryError, match="unknown label"):
        AttributeTable(["a"], spec(binary=["b"]))
    with pytest.raises(CounterfactoryError, match="none twice"):
        AttributeTable(["a"], spec(binary=["a", "a"]))
    with pytest.raises(CounterfactoryError, match="wrong width"):
        TABLE.read(LABELS[:, :2])


def test_bins_take_what_falls_into_them() -> None:
    binned = Attribute("age", (10.0, 30.0, 50.0), binned=True)
    assert binned.code(torch.tensor([0.0, 19.0, 21.0, 60.0])).tolist() == [0, 0, 1, 2]
    assert binned.raw(torch.tensor([2.0])).tolist() == [50]
    assert Attribute("k", (0.0, 1.0, 5.0)).nearest(torch.tensor([2.9, 3.1])).tolist() == [1, 5]
    with pytest.raises(CounterfactoryError, match="half a bin beyond"):
        binned.code(torch.tensor([61.0]))


def test_kinds_are_found_in_the_data() -> None:
    n = 400
    labels = torch.stack([torch.arange(n) % 3 * 10.0, torch.linspace(-2, 2, n)], 1)
    category, cut = infer(labels, ["k", "v"], ["k", "v"], bins=4)
    assert category == Attribute("k", (0.0, 10.0, 20.0))
    assert cut.binned and cut.values == (-1.5, -0.5, 0.5, 1.5)
    (smooth,) = infer(labels, ["k", "v"], ["v"], bins=0)
    assert (
        not smooth.values
        and smooth.centre == pytest.approx(0, abs=1e-6)
        and smooth.scale == pytest.approx(1.158, abs=0.01)
    )
    with pytest.raises(CounterfactoryError, match="unknown label"):
        infer(labels, ["k", "v"], ["w"], bins=0)


def test_a_vector_is_given_whole() -> None:
    table = AttributeTable(["text.0", "text.1", "k"], spec(binary=["k"], vectors={"text": 2}))
    one = table.given({"text": torch.tensor([3.0, 4.0])}, 2)
    each = table.given({"text": torch.tensor([[3.0, 4.0], [5.0, 6.0]]), "k": 1}, 2)
    assert one[:, 1:].tolist() == [[3, 4], [3, 4]] and bool(one[:, 0].isnan().all())
    assert each.tolist() == [[1, 3, 4], [1, 5, 6]]
    assert table.named({"text": torch.zeros(2)}).tolist() == [False, True, True]


# -- the joint ---------------------------------------------------------------------------------------------------------


def joint(rows: list[list[float]]) -> AttributeJoint:
    made = AttributeJoint(TABLE, size=64)
    made.put(torch.tensor(rows))
    return made


def drawn(made: AttributeJoint, given: dict, n: int = 200) -> torch.Tensor:
    return made.draw(TABLE.given(given, n), torch.Generator().manual_seed(0))


def test_what_is_not_given_follows_what_is() -> None:
    """Glasses come with shape 1, none with shape 0 or 2 (one to two)."""
    made = joint([[1, 1, 0.0]] * 3 + [[0, 0, -1.0]] * 2 + [[0, 2, 1.0]] * 4)
    assert bool((drawn(made, {"glasses": 1})[:, 1] == 1).all())
    without = drawn(made, {"glasses": 0})
    assert 0.55 < float((without[:, 1] == 2).float().mean()) < 0.78
    assert bool((without[:, 2] == without[:, 1] - 1).all())  # shape and age come from the same row
    free = drawn(made, {})
    assert 0.2 < float((free[:, 0] == 1).float().mean()) < 0.48
    full = TABLE.given({"glasses": 1, "shape": 0, "age": 40.0}, 2)
    assert torch.equal(made.draw(full, torch.Generator()), full)


def test_continuous_values_are_alike_when_they_are_near() -> None:
    made = joint([[0, 0, -1.0]] * 5 + [[1, 0, 1.0]] * 5)
    assert bool((drawn(made, {"age": 30.0})[:, 0] == 0).all()) and bool((drawn(made, {"age": 51.0})[:, 0] == 1).all())
    assert 0.35 < float(drawn(made, {"age": 40.0})[:, 0].mean()) < 0.65


def test_combinations_that_were_never_seen_are_known_and_have_neighbours() -> None:
    made = joint([[1, 1, 0.0], [0, 0, 0.0], [0, 2, 0.0]])
    asked = torch.tensor([[1, 1, 9.0], [1, 2, 9.0], [1, 0, 9.0]])  # the age does not count
    assert made.unseen(asked).tolist() == [False, True, True]
    keep_glasses, keep_shape = (torch.tensor(k) for k in ([True, False, False], [False, True, False]))
    assert made.nearest(asked, keep_glasses)[1].tolist() == [1, 1, 9]
    assert made.nearest(asked, keep_shape)[1].tolist() == [0, 2, 9]
    empty = AttributeJoint(TABLE, size=4)
    assert not bool(empty.unseen(asked).any())
    with pytest.raises(CounterfactoryError, match="does not know which attributes go together"):
        empty.draw(TABLE.given({}, 1), torch.Generator())
