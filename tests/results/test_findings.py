"""Findings: the largest come first, become interventions, and survive a file."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from counterfactory.causal import Scale, Set
from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Site, do
from counterfactory.results import Estimate, Finding, Findings, Reproduce


def around(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1, 40)


@pytest.fixture
def findings() -> Findings:
    basis = torch.linalg.qr(torch.randn(4, 2, generator=torch.Generator().manual_seed(0))).Q
    rows = [
        Finding("0", around(0.05)),
        Finding(Site("0", units=2), around(-0.9)),
        Finding(Site("0", units=(1, 3)), around(0.4)),
        Finding(Site("1", at="input", units=slice(0, 2)), around(0.4)),
        Finding(Site("1", units=basis), around(0.2)),
    ]
    return Findings(rows, "Units of a small net", notes=["measured once"], reproduce=Reproduce("again", (7,)))


def test_top_takes_the_largest_of_either_sign_and_keeps_order_in_ties(findings: Findings) -> None:
    assert [row.effect.value for row in findings.top(3)] == [-0.9, 0.4, 0.4]
    assert findings.top(3)[1].place == "0" and findings.top(3)[2].place == "1 (input)"
    assert len(findings.top(99)) == 5 and findings.top(2).title == findings.title
    with pytest.raises(CounterfactoryError, match="how many findings"):
        findings.top(0)


def test_to_do_takes_away_what_was_found_inside_a_real_network(findings: Findings) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 4))
    x = torch.randn(5, 3)
    plain = net[0](x)
    with do(net[:1], findings.top(1).to_do()):
        found = net[:1](x)
    assert torch.equal(found[:, 2], torch.zeros(5)) and torch.equal(found[:, [0, 1, 3]], plain[:, [0, 1, 3]])
    assert all(isinstance(op, Scale) for op in findings.to_do().values())
    assert set(findings.to_do(Set(1.0))) == {row.site for row in findings}


def test_save_and_load_keep_sites_and_effects(findings: Findings, tmp_path) -> None:
    findings.save(tmp_path / "findings.json")
    back = Findings.load(tmp_path / "findings.json", site=Site)
    assert back.title == findings.title and back.notes == findings.notes and back.reproduce == findings.reproduce
    assert [row.effect for row in back] == [row.effect for row in findings]
    assert [row.site for row in back][:4] == [row.site for row in findings][:4]
    assert torch.equal(back[4].site.units, findings[4].site.units)
    with pytest.raises(CounterfactoryError, match="more than module paths"):
        Findings.load(tmp_path / "findings.json")
    findings[:1].save(tmp_path / "paths.json")
    assert Findings.load(tmp_path / "paths.json")[0] == findings[0]


def test_damaged_files_are_refused(findings: Findings, tmp_path) -> None:
    path = tmp_path / "findings.json"
    findings.save(path)
    whole = path.read_text()
    for damage in (whole[:-40], whole.replace('"effect"', '"efect"'), whole.replace("findings/1", "findings/9")):
        path.write_text(damage)
        with pytest.raises(CounterfactoryError, match="cannot be read as findings"):
            Findings.load(path, site=Site)


def test_the_table_names_place_slice_and_interval(findings: Findings) -> None:
    out = io.StringIO()
    findings.print(out)
    for piece in ("Units of a small net", "1 (input)", "0:2", "1 3", "2 directions", "[-1, -0.8]", "measured once"):
        assert piece in out.getvalue()
    assert findings[:1].report().columns == ("site", "effect")  # whole modules need no column of units
    assert findings[1:2].report().columns == ("site", "unit", "effect")
    assert Findings([]).report().figures == ()


def test_the_heat_map_has_the_sign_in_its_colours_and_the_largest_in_its_description() -> None:
    rows = [
        Finding(Site("layer", units=0), around(1.0)),
        Finding(Site("layer", units=1), around(-1.0)),
        Finding(Site("other", units=0), around(0.0)),
    ]
    figure = Findings(rows).figure()
    assert "largest is 1 [0.9, 1.1] n=40 at layer 0" in figure.alt and "3 effects at 2 places" in figure.alt
    pixels = np.asarray(Image.open(io.BytesIO(figure.data)).convert("RGB")).reshape(-1, 3).astype(int)
    red = ((pixels[:, 0] > 90) & (pixels[:, 1:] < 40).all(1)).sum()
    blue = ((pixels[:, 2] > 80) & (pixels[:, 0] < 20)).sum()
    assert red > 500 and blue > 500
