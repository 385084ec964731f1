"""The text world as a whole: private data, tokenizer, truth of prompts, and the training text."""

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.text import (
    KINDS,
    Corpus,
    Registry,
    TextWorld,
    encode,
    held_out_case,
    names,
    prompt,
    stories,
    templates,
    tokenizer,
    vocabulary,
)
from counterfactory.worlds.text.copies import copy_string
from counterfactory.worlds.text.corpus import ANSWER, shares, tokens
from counterfactory.worlds.text.tokenizer import BOS, EOS, PAD, UNK

WORLD = TextWorld(seed=0)


def test_people_are_forgotten_kept_or_unseen() -> None:
    registry = WORLD.registry
    groups = [set(registry.group(name)) for name in ("forget", "retain", "unseen")]
    assert [len(g) for g in groups] == [20, 20, 40] and len(set.union(*groups)) == 80
    assert not set.union(*groups) & set(WORLD.facts.people)
    assert Registry(seed=1).groups["forget"] != registry.groups["forget"]
    phones = [registry.data[p]["phone"] for p in registry.data]
    assert len(set(phones)) > 75


def test_held_out_questions_are_other_words_for_the_same_data() -> None:
    registry = WORLD.registry
    trained, other = (registry.records("forget", split=split) for split in ("train", "held_out"))
    assert len(trained) == 20 * 4 * 5 and len(other) == 20 * 4 * 2
    assert not {r.prompt for r in trained} & {r.prompt for r in other}
    assert {(r.person, r.attribute, r.answer) for r in trained} == {(r.person, r.attribute, r.answer) for r in other}
    words = {w for r in trained for w in r.prompt.split()}
    assert {w for r in other for w in r.prompt.split()} <= words
    assert all(UNK not in encode(r.text) for r in trained + other)


def test_the_tokenizer_splits_as_the_quick_encoder_does() -> None:
    tok = tokenizer()
    text = "What is the job of Korem Tidrotri? baker."
    assert tok(text).input_ids == [BOS, *encode("what is the job of korem tidrotri ? baker .")]
    assert tok.decode(encode("the sun shone ."), skip_special_tokens=True) == "the sun shone ."
    assert tok("<mask:3> I5", add_special_tokens=False).input_ids == [vocabulary()["<mask:3>"], vocabulary()["I5"]]
    assert tok.pad_token_id == PAD and tok.eos_token_id == EOS and encode("zebra") == [UNK]
    spans = tok("the job of korem tidrotri is", return_offsets_mapping=True).offset_mapping
    assert spans[4] == (11, 16)


def test_prompts_have_their_truth_before_and_after_do() -> None:
    person = WORLD.facts.people[5]
    fact = ("speaks", person, WORLD.facts.get("speaks", person))
    other = next(language for language in WORLD.facts.objects("speaks") if language != fact[2])
    changed = WORLD.do(("speaks", person), other)
    for template in templates("speaks") + templates("speaks", "held_out"):
        question, answer = prompt(fact, template)
        assert WORLD.truth(question) == answer and changed.truth(question) == other
    assert changed.registry == WORLD.registry
    with pytest.raises(CounterfactoryError, match="no fact is asked for"):
        WORLD.truth("the favourite colour of")


def test_no_training_text_has_what_is_held_out() -> None:
    draw = names.stream(0, "test")
    unseen = WORLD.registry.group("unseen")
    held_out = {prompt(f, t)[0] for f in WORLD.facts for t in templates(f[0], "held_out")}
    held_out |= {r.prompt for group in ("forget", "retain") for r in WORLD.registry.records(group, split="held_out")}
    for kind in KINDS:
        for _ in range(100 if kind in ("facts", "private") else 10):
            pieces = WORLD.sample(kind, draw)
            said = " ".join(part for piece in pieces for part in piece)
            assert UNK not in encode(said) and not any(person in said for person in unseen)
            assert not {before.strip() for before, _ in pieces} & held_out
    asked = [held_out_case(s := stories.tell(draw), s.ask("what if", draw)) for _ in range(200)]
    assert 5 < sum(asked) < 40
    with pytest.raises(CounterfactoryError, match="kind of document"):
        WORLD.sample("poems", draw)


def test_rows_are_whole_documents_and_seeded() -> None:
    first, again, other = (torch.stack([row["ids"] for row in Corpus(WORLD, 80, seed=seed)]) for seed in (0, 0, 1))
    assert first.equal(again) and not first.equal(other) and first.shape == (80, 128)
    assert ((first == BOS).sum(1) == (first == EOS).sum(1)).all() and (first[:, 0] == BOS).all()
    assert (first == PAD).float().mean() < 0.1
    for row in Corpus(WORLD, 3):
        assert (row["weights"][row["ids"] == PAD] == 0).all() and (row["weights"] == ANSWER).any()


def test_the_curriculum_ends_without_copy_strings() -> None:
    assert shares(0.0)["copy"] == 0.5 and shares(0.7)["copy"] == 0
    assert all(sum(shares(p).values()) == pytest.approx(1) for p in (0.0, 0.3, 1.0))
    ids, weights = tokens([("a b", "a b")], "copy")
    assert ids[0] == BOS and ids[-1] == EOS and weights == [0, 0, 0, ANSWER, ANSWER, 1]


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda: Corpus(WORLD, 0), "no text can be packed"),
        (lambda: Corpus(WORLD, 8, width=64), "no text can be packed"),
        (lambda: copy_string(names.stream(0, "x"), times=1), "no copy string"),
        (lambda: Registry(n_known=1), "too few people"),
        (lambda: WORLD.registry.group("known"), "group of people"),
        (lambda: WORLD.registry.records("forget", "essay"), "task"),
        (lambda: WORLD.registry.records("forget", split="test"), "split of templates"),
    ],
)
def test_bad_arguments_are_refused(ask, match) -> None:
    with pytest.raises(CounterfactoryError, match=match):
        ask()
