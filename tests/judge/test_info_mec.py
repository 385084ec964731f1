"""The judge around InfoMEC: models and arrays, the control, the picture."""

import numpy as np
import pytest
import torch
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.info_mec import InfoMECJudge, InfoMECSettings
from counterfactory.metrics import infomec
from counterfactory.worlds import load


class Mean(nn.Module):
    """Two latents: the mean of the picture, and that of its upper half."""

    def latents(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x.flatten(1).mean(1), x[:, :, :8].flatten(1).mean(1)], 1)


def test_a_model_is_scored_by_its_codes_of_held_out_units() -> None:
    world, judge = load("sprites", image_size=16), InfoMECJudge(InfoMECSettings(n=300, batch_size=70))
    report = judge.judge(Mean(), world, seed=3)
    units = world.held_out().sample(300, 3)
    codes = Mean().latents(units.observation).double().numpy()
    found = infomec(codes, units.factors.double().numpy(), source_bins=20, seed=3)
    assert [row["value"] for row in report.rows] == [found.infom, found.infoe, found.infoc]
    assert report.figures[0].title == "Normalised mutual information"


def test_shuffled_codes_know_nothing() -> None:
    sources = np.random.default_rng(0).integers(0, 3, size=(900, 2))
    report = InfoMECJudge().judge(sources, sources, discrete=True)
    assert [row["value"] for row in report.rows] == pytest.approx([1, 1, 1], abs=0.01)
    assert abs(report.controls[1]["value"]) < 0.05


@pytest.mark.parametrize(("model", "data"), [(Mean(), np.zeros((4, 2))), (object(), load("sprites"))])
def test_what_does_not_fit_together_is_refused(model: object, data: object) -> None:
    with pytest.raises(CounterfactoryError) as error:
        InfoMECJudge().judge(model, data)
    assert all(error.value.parts().values())
