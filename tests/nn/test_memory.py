"""The ring of rows: the newest stay, and they are saved with the weights."""

import torch

from counterfactory.nn.memory import Memory


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_the_newest_rows_stay() -> None:
    memory = Memory(4, 1)
    assert memory.filled().shape == (0, 1)
    memory.put(column(1, 2, 3))
    assert memory.filled().flatten().tolist() == [1, 2, 3]
    memory.put(column(4, 5))
    assert sorted(memory.filled().flatten().tolist()) == [2, 3, 4, 5]
    memory.put(column(*range(10, 21)))  # more than fit
    assert sorted(memory.filled().flatten().tolist()) == [17, 18, 19, 20]
    memory.put(column(21))
    assert sorted(memory.filled().flatten().tolist()) == [18, 19, 20, 21]
    memory.clear()
    assert len(memory.filled()) == 0


def test_it_is_part_of_the_state() -> None:
    memory, other = Memory(3, 2), Memory(3, 2)
    memory.put(torch.rand(5, 2))
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.filled(), memory.filled()) and len(other.filled()) == 3
    other.put(torch.zeros(1, 2))
    assert not torch.equal(other.filled(), memory.filled())
