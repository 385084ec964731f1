"""Stories: the twin network's answers, against hand-made cases and against enumeration."""

import itertools

import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.text import DOMAINS, HELD_OUT, TRAINED, Story, domain, five_w, names, stories
from counterfactory.worlds.text.tokenizer import UNK, encode

STREET = domain("street")  # wetness = rain or sprinkler, slip = wetness and not sand


def told(**happened: bool) -> Story:
    bits = dict.fromkeys(STREET.nouns, False) | happened
    return Story(STREET, STREET.solve(bits), bits, STREET.nouns)


def test_there_are_enough_domains_and_two_are_kept_back() -> None:
    assert len(TRAINED) >= 12 and set(HELD_OUT) | set(TRAINED) == set(DOMAINS) and len(HELD_OUT) == 2
    for found in DOMAINS.values():
        assert 4 <= len(found.variables) <= 6 and found.graph.nodes == found.nouns
        assert all(found.nouns.index(p) < found.nouns.index(v.noun) for v in found.variables for p in v.parents)
        assert all(len(v.parents) < 2 or v.operator in ("or", "and", "and not") for v in found.variables)


def test_abduction_gives_the_bits_back_for_every_setting_of_every_domain() -> None:
    for found in DOMAINS.values():
        for setting in itertools.product((False, True), repeat=len(found.nouns)):
            bits = dict(zip(found.nouns, setting, strict=True))
            assert found.abduct(found.solve(bits)) == bits


def test_what_if_keeps_what_happened_against_the_rule() -> None:
    assert told(rain=True).what_if("rain", "slip").answer == "no ."
    assert told(rain=True, sprinkler=True).what_if("rain", "wetness").answer == "yes ."
    assert told(rain=True).what_if("sand", "slip").answer == "no ."
    assert told(rain=True).what_if("slip", "wetness").answer == "yes ."  # a cause does not answer to its effect
    against = told(rain=True, wetness=True)  # it rained and the street stayed dry
    assert not against.values["wetness"] and against.what_if("rain", "wetness").answer == "yes ."


def test_why_names_but_for_causes_or_every_sufficient_one() -> None:
    assert told(rain=True).causes("wetness") == ("but for", ("rain",))
    assert told(rain=True).causes("slip") == ("but for", ("wetness", "sand"))
    assert told(rain=True, sprinkler=True).causes("wetness") == ("either", ("rain", "sprinkler"))
    assert told(sand=True).causes("slip") == ("either", ("wetness", "sand"))
    assert told(rain=True, wetness=True).causes("wetness") == ("unknown", ())
    assert told(rain=True, sprinkler=True).why("wetness").answer == (
        "either because it rained or because the sprinkler ran ."
    )


def test_why_agrees_with_the_twin_network_everywhere() -> None:
    draw = names.stream(3, "test")
    for _ in range(300):
        story = stories.tell(draw)
        for v in story.domain.variables:
            kind, causes = story.causes(v.noun)
            flips = [
                p
                for p in v.parents
                if story.counterfactual({p: not story.values[p]}).values[v.noun] != story.values[v.noun]
            ]
            if kind == "but for":
                assert list(causes) == flips
            elif kind == "either":
                assert flips == [] and causes
                everything = {p: not story.values[p] for p in causes}
                assert story.counterfactual(everything).values[v.noun] != story.values[v.noun]


def test_effects_have_the_sign_of_the_rule() -> None:
    assert STREET.effect("rain", "slip") == "raises" and STREET.effect("sand", "slip") == "lowers"
    assert STREET.effect("slip", "rain") == "no" and STREET.effect("sand", "wetness") == "no"
    assert told().does("sand", "slip").answer == "yes , it prevents it ."
    assert told().first("slip", "rain").answer == "rain ."


def test_stories_are_shuffled_words_of_the_vocabulary_with_their_spans() -> None:
    draw = names.stream(0, "test")
    shuffled = 0
    for _ in range(100):
        story = stories.tell(draw)
        shuffled += story.order != story.domain.nouns
        words = story.text.split()
        for noun, (start, end) in story.spans.items():
            assert " ".join(words[start:end]) == story.domain[noun].told(story.values[noun])
        for kind in stories.KINDS:
            question = story.ask(kind, draw)
            assert UNK not in encode(f"{story.text} {question.text} {question.answer}")
    assert 30 < shuffled < 70


def test_a_story_asked_wrongly_is_refused() -> None:
    draw = names.stream(0, "test")
    for ask, match in (
        (lambda: stories.tell(draw, "moon"), "domain"),
        (lambda: stories.tell(draw, surprise=1.5), "'surprise' is not a probability"),
        (lambda: told().ask("how", draw), "kind of question"),
        (lambda: told().first("rain", "sprinkler"), "which of the two came first"),
        (lambda: told().counterfactual({"hail": True}), "variable of the domain 'street'"),
        (lambda: five_w.tell(draw, 3), "one or two events"),
        (lambda: five_w.tell(draw, 1).ask("which"), "slot of a 5W story"),
        (lambda: five_w.tell(draw, 1).ask("who", 1), "no such event"),
    ):
        with pytest.raises(CounterfactoryError, match=match):
            ask()


def test_5w_answers_are_the_words_of_their_spans() -> None:
    draw = names.stream(1, "test")
    assert all(len(fillers) >= 30 for fillers in five_w.FILLERS.values())
    for _ in range(50):
        story = five_w.tell(draw)
        words = story.text.split()
        for e, spans in enumerate(story.spans):
            for slot, (start, end) in spans.items():
                question, answer = story.ask(slot, e)
                assert answer == " ".join(words[start:end]) + " ." and UNK not in encode(question)
