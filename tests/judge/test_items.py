"""Items, prompt styles, and the reading of answers."""

import json

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import controls, extract
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.styles import STYLES, few_shot, style


def yes_no(n: int = 6) -> ItemSet:
    items = [
        Item(
            f"q{i}",
            group=f"g{i // 2}",
            prompt=f"Smoke {i} is up. Does tar {i} cause cough?",
            choices=("No", "Yes"),
            target=int(i % 3 == 0),
            tags={"rung": i % 2},
            meta={"context": f"Smoke {i} is up.", "question": f"Does tar {i} cause cough?", "names": ["tar", "cough"]},
        )
        for i in range(n)
    ]
    return ItemSet("smoke", "2", items, {"measures": "nothing", "seed": 3})


def test_a_set_counts_and_draws():
    items = yes_no()
    assert (len(items), items.n_groups, items.chance(), items.majority()) == (6, 3, 0.5, 4 / 6)
    assert items.label_balance() == {"No": 4 / 6, "Yes": 2 / 6}
    assert items[1].target_text == "No" and items[3].choice_key == 1 and items[1:3][0] is items[1]
    drawn = items.subset(3, seed=1)
    assert [i.id for i in drawn] == sorted(i.id for i in drawn) and drawn.digest == items.subset(3, seed=1).digest
    assert len({items.subset(3, seed=s).digest for s in range(8)}) > 1 and items.subset(99) is items
    assert [i.id for i in items.filter(lambda item: item.tags["rung"] == 0)] == ["q0", "q2", "q4"]


def test_the_digest_is_that_of_everything_but_the_card():
    items = yes_no()
    assert items.digest == yes_no().digest == ItemSet("smoke", "2", items.items).digest
    first, *rest = items
    for change in (
        {"prompt": "Does it?"},
        {"target": 0, "target_text": ""},
        {"meta": {}},
        {"version": "2"},
        {"group": "x"},
    ):
        assert items.with_items([first.replace(**change), *rest]).digest != items.digest
    assert items.with_items([*rest, first]).digest != items.digest


def test_files_give_the_set_back(tmp_path):
    graph = Item(
        "g", messages=({"role": "user", "content": "Draw?"},), target={"nodes": ["a"], "edges": []}, scorer="graph"
    )
    items = yes_no().with_items([*yes_no(), graph])
    items.to_jsonl(tmp_path / "items.jsonl")
    found = ItemSet.from_jsonl(tmp_path / "items.jsonl")
    assert found.items == items.items and found.card == items.card and found.digest == items.digest
    lines = (tmp_path / "items.jsonl").read_text().splitlines()
    row = json.loads(lines[1]) | {"target": 0}
    (tmp_path / "items.jsonl").write_text("\n".join([lines[0], json.dumps(row), *lines[2:]]))
    with pytest.raises(CounterfactoryError, match="cannot be read"):
        ItemSet.from_jsonl(tmp_path / "items.jsonl")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"prompt": "a", "messages": ({"role": "user", "content": "a"},)},
        {"prompt": "a", "choices": ("No",), "target": 0},
        {"prompt": "a", "choices": ("No", "No"), "target": 0},
        {"prompt": "a", "choices": ("No", "Yes"), "target": 2},
        {"prompt": "a", "choices": ("No", "Yes"), "target": True},
        {"prompt": "a", "choices": ("No", "Yes"), "target": "Yes"},
    ],
)
def test_items_that_are_none_are_refused(wrong):
    with pytest.raises(CounterfactoryError):
        Item("q", **wrong)


def test_sets_that_are_none_are_refused():
    one = yes_no()[0]
    for items in ([one, one], []):
        with pytest.raises(CounterfactoryError, match="no set of items"):
            ItemSet("a", "1", items)
    with pytest.raises(CounterfactoryError, match="JSON"):
        _ = one.replace(meta={"x": object()}).digest


def test_styles_put_items():
    item, train = yes_no()[3], yes_no().filter(lambda item: item.id != "q3")
    assert style("direct").build(item) == item.prompt
    assert STYLES["letters"].build(item).splitlines()[1:3] == ["A. No", "B. Yes"]
    assert STYLES["letters"].answers(item) == ("A", "B")
    shots = few_shot("tagged", train, k=2)
    built = shots.build(item)
    assert built.count("<answer>Yes</answer>") == built.count("<answer>No</answer>") == 1
    assert built.endswith(STYLES["tagged"].build(item)) and shots.build(item, dropped=2) == STYLES["tagged"].build(item)
    assert few_shot("direct", train, k=2).build(item).count("cough? ") == 2  # delimiter, then answer
    talk = item.replace(prompt="", messages=({"role": "user", "content": "Does it?"},))
    assert [m["role"] for m in shots.build(talk)] == ["user", "assistant"] * 2 + ["user"]
    for k in (0, 6):
        with pytest.raises(CounterfactoryError, match="examples"):
            few_shot("direct", train, k=k)
    with pytest.raises(CounterfactoryError, match="unknown prompt style"):
        style("tagget")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes", 1),
        ("  no. ", 0),
        ("**Yes**", 1),
        ("YES, because tar does.", 1),
        ("No, since yes would need a path.", 0),
        ("<answer>No</answer> or <answer> yes </answer>", 1),
        ("<answer>No", 0),
        ("<answer>perhaps</answer> Yes", None),
        ("The answer is: no.", 0),
        ("Yes, it seems.\nBut there is a confounder.\nSo: No", 0),
        ("I see no confounder, so yes is possible", None),  # ordinary words are no answers
        ("First, No.\nThen Yes or No?", None),
        ("<think>Yes</think>No", 0),
        ("Yes</think>No", 0),
        ("<think>Yes, I am sure", None),
        ("None of them", None),
        ("Yesterday it rained", None),
        ("", None),
    ],
)
def test_reading_a_choice(text, said):
    assert extract.choice(extract.unthink(text), ("No", "Yes"), yes_no()[0]) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("B", 1),
        ("(a)", 0),
        ("B. Yes", 1),
        ("Answer: B", 1),
        ("Yes", 1),
        ("A confounder is there.", None),
        ("So it is (B)", 1),
    ],
)
def test_reading_a_letter(text, said):
    assert extract.choice(text, ("A", "B"), yes_no()[0]) == said


def test_longer_choices_hide_those_inside_them():
    item = Item("q", prompt="?", choices=("cause", "no cause", "common cause"), target=2)
    assert extract.choice("It must be the common cause", item.choices, item) == 2
    assert extract.choice("no cause", item.choices, item) == 1
    assert extract.choice("no cause, rather common cause", item.choices, item) == 1


def test_marking_graphs():
    target = {"nodes": ["Tar", "Cough", "Sun"], "edges": [["Tar", "Cough"], ["Sun", "Tar"]]}
    item = Item("g", prompt="Draw.", target=target, scorer="graph")
    scorer = extract.scorer_of(item)

    def marks(text):
        value = scorer.extract(text, (), item)
        return value, scorer.mark(value, item)

    for text in (
        'So {"edges": [["Tar", "Cough"], ["Sun", "tar"]]}.',
        '```json\n{"relationships": [{"source": "tar", "sink": "cough"}, {"source": "sun", "sink": "tar"}]}\n```',
        "Tar -> Cough\nSun -> Tar",
    ):
        value, mark = marks(text)
        assert len(value) == 2 and mark["acc"] == mark["edge_f1"] == 1 and mark["shd"] == mark["nhd"] == 0
    _, turned = marks('{"edges": [["Cough", "Tar"], ["Sun", "Tar"]]}')
    assert (turned["shd"], turned["shd_2"], turned["edge_precision"], turned["acc"]) == (1, 2, 0.5, 0)
    value, empty = marks('{"edges": []}')
    assert value == [] and empty["edge_recall"] == 0 and empty["shd"] == 2
    value, none = marks("I cannot say.")
    assert value is None and none["acc"] == 0


def test_texts_agree_apart_from_their_form():
    item = Item("t", prompt="Which?", target="The common cause", scorer="text")
    scorer = extract.scorer_of(item)
    for text, right in (
        ("<answer>the Common cause.</answer>", 1),
        ("Hm.\nthe common  cause!", 1),
        ("a cause", 0),
        ("", 0),
    ):
        assert scorer.mark(scorer.extract(text, (), item), item)["acc"] == right
    with pytest.raises(CounterfactoryError, match="unknown scorer"):
        extract.scorer_of(item.replace(scorer="txt"))
    with pytest.raises(CounterfactoryError, match="taken"):
        extract.register("text", extract.Scorer(extract.choice, extract.mark_text))


def test_controls_change_what_they_say():
    items = yes_no()
    ids = [item.id for item in items]
    questions, mixed = controls.question_only(items), controls.context_shuffled(items, seed=1)
    assert questions[2].prompt == "Does tar 2 cause cough?"
    for old, new in zip(items, mixed, strict=True):
        donor = next(i for i in items if i.meta["context"] in new.prompt)
        assert donor.group != old.group and new.prompt.endswith(old.meta["question"]) and new.target == old.target
    shuffled = controls.labels_shuffled(items, seed=1)
    assert shuffled.label_balance() == items.label_balance()
    assert any(controls.labels_shuffled(items, seed=s)[0].target != items[0].target for s in range(20))
    assert controls.symbols(items)[1].prompt == "Smoke 1 is up. Does V1 1 cause V2?"
    turned = controls.reversed_choices(items)
    assert turned[0].choices == ("Yes", "No") and [i.target_text for i in turned] == [i.target_text for i in items]
    for changed in (questions, mixed, shuffled, turned, controls.symbols(items)):
        assert [item.id for item in changed] == ids and changed.digest != items.digest
    with pytest.raises(CounterfactoryError, match="has no question"):
        controls.question_only(items.map(lambda item: item.replace(meta={})))
    with pytest.raises(CounterfactoryError, match="exchanged"):
        controls.context_shuffled(items.map(lambda item: item.replace(group="one")))
