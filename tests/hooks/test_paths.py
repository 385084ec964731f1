import pytest
import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Site
from counterfactory.hooks.paths import named_modules, resolve


def paths(model, path, **fields):
    return [site.path for site, _ in resolve(named_modules(model), Site(path, **fields))]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("model.layers.{1-2}.mlp", ["model.layers.1.mlp", "model.layers.2.mlp"]),
        ("model.layers.{0,2}.mlp", ["model.layers.0.mlp", "model.layers.2.mlp"]),
        ("model.layers.*.mlp", [f"model.layers.{i}.mlp" for i in range(3)]),
        ("**.mlp", [f"model.layers.{i}.mlp" for i in range(3)]),
        ("model.layers.1.mlp.{up,gate}_proj", ["model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj"]),
        ("lm_head", ["lm_head"]),
    ],
)
def test_globs(llama, pattern, expected):
    assert paths(llama, pattern) == expected


def test_a_dot_is_no_wildcard(llama):
    with pytest.raises(CounterfactoryError, match="unknown module path"):
        paths(llama, "model.layersx1")
    with pytest.raises(CounterfactoryError, match="unknown module path"):
        paths(llama, "model*mlp")  # one star stays inside one part of a name


def test_near_names_are_given(llama):
    with pytest.raises(CounterfactoryError, match=r"did you mean 'model\.layers\.1\.mlp'"):
        paths(llama, "model.layers.1.mpl")


def test_a_list_of_modules_is_never_called(llama):
    with pytest.raises(CounterfactoryError, match="never called"):
        paths(llama, "model.layers")


def test_an_object_without_modules_is_refused():
    with pytest.raises(CounterfactoryError, match="no module"):
        named_modules("gpt2")


def test_any_object_that_holds_a_module_is_a_pipeline(llama):
    class Holder:
        def __init__(self) -> None:
            self.model, self.name = llama, "holder"

    assert paths(Holder(), "model.lm_head") == ["model.lm_head"]


def test_a_shared_module_is_one_site():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, shared)
    assert paths(net, "*") == ["0"]
    assert paths(net, "1") == ["1"]


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_text_encoders_have_two_spellings(clip, prefix):
    assert paths(clip, prefix + "encoder.layers.1.mlp") == ["encoder.layers.1.mlp"]
    inside = nn.ModuleDict({"text_model": clip})
    assert paths(inside, prefix + "encoder.layers.*.mlp") == [f"text_model.encoder.layers.{i}.mlp" for i in range(3)]


@pytest.mark.parametrize("name", ["gpt2", "llama", "clip"])
def test_aliases_name_the_parts_of_a_block(request, name):
    model = request.getfixturevalue(name)
    prefix, attn, out, down = {
        "gpt2": ("transformer.h.", "attn", "attn.c_proj", "mlp.c_proj"),
        "llama": ("model.layers.", "self_attn", "self_attn.o_proj", "mlp.down_proj"),
        "clip": ("encoder.layers.", "self_attn", "self_attn.out_proj", "mlp.fc2"),
    }[name]
    assert paths(model, "block[2]") == [f"{prefix}2"]
    assert paths(model, "block[-1]") == [f"{prefix}2"]
    assert paths(model, "attn[0-1]") == [f"{prefix}0.{attn}", f"{prefix}1.{attn}"]
    assert paths(model, "mlp[*]") == [f"{prefix}{i}.mlp" for i in range(3)]
    ((head, _),) = resolve(named_modules(model), Site("head[1,1]"))
    assert head == Site(f"{prefix}1.{out}", at="input", units=slice(8, 16))
    ((neurons, _),) = resolve(named_modules(model), Site("neuron[1,2-3]", tokens=0))
    assert neurons == Site(f"{prefix}1.{down}", at="input", units=slice(2, 4), tokens=0)


def test_an_alias_may_have_a_path_before_and_behind(llama):
    assert paths(llama, "model.block[1].input_layernorm") == ["model.layers.1.input_layernorm"]
    with pytest.raises(CounterfactoryError, match="unknown module path"):
        paths(llama, "block[1].ln_1")


def test_an_ambiguous_alias_names_the_lists():
    small = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    text = {**small, "vocab_size": 9, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config={**small, "image_size": 8, "patch_size": 4})
    model = CLIPModel(config)
    with pytest.raises(CounterfactoryError, match=r"text_model\.encoder\.layers, vision_model\.encoder\.layers"):
        paths(model, "block[0]")
    assert paths(model, "vision_model.block[0]") == ["vision_model.encoder.layers.0"]
    assert paths(model, "text_model.block[0]") == ["text_model.encoder.layers.0"]
    inside = nn.ModuleDict({"clip": model})
    assert paths(inside, "clip.text_model.block[0]") == ["clip.text_model.encoder.layers.0"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("block[3]", "0 to 2"),
        ("block[-4]", "0 to 2"),
        ("block[1-3]", "0 to 2"),
        ("block[one]", "0 to 2"),
        ("head[0,2]", "0 to 1"),
        ("head[0]", "not a complete alias"),
        ("mlp[0,1]", "not a complete alias"),
    ],
)
def test_bad_aliases_are_refused(llama, path, words):
    with pytest.raises(CounterfactoryError, match=words):
        paths(llama, path)


def test_an_alias_needs_a_known_family(mlp):
    with pytest.raises(CounterfactoryError, match="lists of blocks: none"):
        paths(mlp, "block[0]")


def test_compiled_wrappers_are_looked_through(mlp):
    assert set(named_modules(torch.compile(mlp, backend="eager"))) == set(named_modules(mlp))
