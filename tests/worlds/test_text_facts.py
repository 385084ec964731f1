"""Facts: what `do` reaches and what it leaves; templates whose prompts end where the answer begins."""

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.text import DERIVED, RELATIONS, Facts, prompt, reversed_in_training, state, templates
from counterfactory.worlds.text.templates import SPLITS, TEMPLATES
from counterfactory.worlds.text.tokenizer import UNK, encode

FACTS = Facts(seed=0)


def test_a_seed_is_a_world() -> None:
    assert list(FACTS) == list(Facts(seed=0)) and list(FACTS) != list(Facts(seed=1))
    assert len(list(FACTS)) == len(FACTS) == 240 * 5 + 48 + 12 * 2 + 20
    assert len(set(FACTS.people)) == 240 and all(FACTS.get("in_country", FACTS.get("capital", c)) == c for c in
                                                 FACTS.subjects("capital"))  # fmt: skip


def test_derived_facts_are_their_two_causes_composed() -> None:
    person = FACTS.people[7]
    for relation, (first, second) in DERIVED.items():
        assert FACTS.get(relation, person) == FACTS.get(second, FACTS.get(first, person))
    assert set(FACTS.graph().ancestors("speaks")) == {"born_in", "in_country", "citizen_of", "language"}


def test_moving_a_birthplace_ripples_to_citizenship_and_language_alone() -> None:
    person = FACTS.people[0]
    home = FACTS.get("citizen_of", person)
    abroad = next(c for c in FACTS.objects("born_in") if FACTS.get("in_country", c) != home)
    ripples = FACTS.ripples(("born_in", person), abroad)
    assert set(ripples) == {("born_in", person), ("citizen_of", person), ("speaks", person)}
    assert ripples["citizen_of", person] == (home, FACTS.get("in_country", abroad))


def test_an_effect_that_is_set_leaves_its_causes_and_stays_set() -> None:
    person = FACTS.people[0]
    other = next(language for language in FACTS.objects("speaks") if language != FACTS.get("speaks", person))
    changed = FACTS.do(("speaks", person), other)
    assert set(FACTS.ripples(("speaks", person), other)) == {("speaks", person)}
    moved = changed.do(("born_in", person), FACTS.objects("born_in")[3])
    assert moved.get("speaks", person) == other and FACTS.get("speaks", person) != other


def test_a_city_that_changes_country_takes_its_people_along() -> None:
    city = FACTS.get("born_in", FACTS.people[0])
    country = next(c for c in FACTS.objects("in_country") if c != FACTS.get("in_country", city))
    reached = {s for r, s in FACTS.ripples(("in_country", city), country) if r == "citizen_of"}
    assert reached == {p for p in FACTS.people if FACTS.get("born_in", p) == city}


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda: FACTS.get("likes", "x"), "relation"),
        (lambda: FACTS.get("speaks", "nobody at all"), "subject of 'speaks'"),
        (lambda: FACTS.do(("job", FACTS.people[0]), "wizard"), "object of 'job'"),
        (lambda: Facts(n_people=0), "so many people"),
        (lambda: templates("job", "test"), "split of templates"),
        (lambda: templates("likes"), "relation"),
    ],
)
def test_what_does_not_exist_is_refused(ask, match) -> None:
    with pytest.raises(CounterfactoryError, match=match):
        ask()


def test_templates_are_disjoint_known_words_and_end_in_what_is_asked() -> None:
    for relation in RELATIONS:
        split = {name: set(templates(relation, name)) for name in SPLITS}
        assert len(split["train"]) >= 5 and len(split["held_out"]) >= 2 and split["object_first"]
        assert not split["train"] & split["held_out"]
        subject = FACTS.subjects(relation)[0]
        fact = (relation, subject, FACTS.get(relation, subject))
        for name in SPLITS:
            for template in TEMPLATES[relation][name]:
                before, asked = prompt(fact, template)
                assert state(fact, template) == f"{before} {asked} ." and UNK not in encode(state(fact, template))
                assert asked == (subject if name == "object_first" else fact[2])


def test_held_out_words_are_all_trained() -> None:
    for relation, splits in TEMPLATES.items():
        trained = {w for ts in TEMPLATES.values() for t in ts["train"] for w in t.split()}
        assert {w for t in splits["held_out"] for w in t.split()} <= trained, relation


def test_half_of_the_subjects_are_told_object_first() -> None:
    told = [reversed_in_training(0, "born_in", p) for p in FACTS.people]
    assert 0.4 < sum(told) / len(told) < 0.6
