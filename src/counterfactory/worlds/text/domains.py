"""Small causal worlds told in words: domains of four to six yes/no variables with OR, AND and AND-NOT between them.

A line of a domain is one variable, in topological order:

    noun = subject | base form | past | participle      : rule
    wet  = the street | get wet | got wet | got wet      : rain or sprinkler

No rule makes a root. Participle may be left out where it is the past. The negative forms come from the base form.
"""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from counterfactory.causal import CausalGraph
from counterfactory.errors import unknown

OPERATORS: dict[str, Callable[[bool, bool], bool]] = {
    "or": lambda a, b: a or b,
    "and": lambda a, b: a and b,
    "and not": lambda a, b: a and not b,
}
"""How two causes make an effect; with one cause only, the effect is its copy."""


@dataclass(frozen=True)
class Variable:
    """One yes/no event: its noun, the forms of its clause, and its rule."""

    noun: str
    subject: str
    base: str
    past: str
    participle: str
    parents: tuple[str, ...] = ()
    operator: str = ""

    def rule(self, values: dict[str, bool]) -> bool:
        """What the rule says, given the values of the parents; not for roots."""
        if len(self.parents) == 1:
            return values[self.parents[0]]
        return OPERATORS[self.operator](values[self.parents[0]], values[self.parents[1]])

    def told(self, value: bool) -> str:
        """The clause of a story: "it rained", "it did not rain"."""
        return f"{self.subject} {self.past}" if value else f"{self.subject} did not {self.base}"

    def supposed(self, value: bool) -> str:
        """The clause after "if": "it had rained", "it had not rained"."""
        return f"{self.subject} had {'' if value else 'not '}{self.participle}"

    def asked(self) -> str:
        """The question of a counterfactual: "would it have rained"."""
        return f"would {self.subject} have {self.participle}"

    def why(self, value: bool) -> str:
        """The question for causes: "why did it rain", "why did it not rain"."""
        return f"why did {self.subject} {'' if value else 'not '}{self.base}"


@dataclass(frozen=True)
class Domain:
    """A named set of variables in topological order."""

    name: str
    variables: tuple[Variable, ...]

    @functools.cached_property
    def nouns(self) -> tuple[str, ...]:
        """The names of the variables, causes before effects."""
        return tuple(v.noun for v in self.variables)

    def __getitem__(self, noun: str) -> Variable:
        if noun not in self.nouns:
            raise unknown(f"variable of the domain '{self.name}'", noun, self.nouns)
        return self.variables[self.nouns.index(noun)]

    @functools.cached_property
    def graph(self) -> CausalGraph:
        """The graph over the nouns."""
        return CausalGraph(self.nouns, tuple((p, v.noun) for v in self.variables for p in v.parents))

    def solve(self, bits: dict[str, bool], do: dict[str, bool] | None = None) -> dict[str, bool]:
        """Values of all variables, from the exogenous bits and what `do` sets.

        A root is its bit. An effect is its rule, turned round where its bit is set: what happened against the rule.
        """
        values: dict[str, bool] = {}
        for v in self.variables:
            if do is not None and v.noun in do:
                values[v.noun] = do[v.noun]
            else:
                values[v.noun] = bits[v.noun] if not v.parents else v.rule(values) != bits[v.noun]
        return values

    def abduct(self, values: dict[str, bool]) -> dict[str, bool]:
        """The exogenous bits that made these values: unique, for every bit turns its variable round."""
        return {v.noun: values[v.noun] != (bool(v.parents) and v.rule(values)) for v in self.variables}

    def effect(self, cause: str, on: str) -> str:
        """How a cause acts on a variable: "raises", "lowers", "both" or "no", over all settings of the exogenous bits.

        Without surprises: only the bits of the roots are varied.
        """
        return _effect(self, cause, on)


@functools.cache
def _effect(domain: Domain, cause: str, on: str) -> str:
    roots = [v.noun for v in domain.variables if not v.parents]
    seen = set()
    for setting in itertools.product((False, True), repeat=len(roots)):
        bits = dict.fromkeys(domain.nouns, False) | dict(zip(roots, setting, strict=True))
        low, high = (domain.solve(bits, {cause: value})[on] for value in (False, True))
        if low != high:
            seen.add("raises" if high else "lowers")
    return "no" if not seen else seen.pop() if len(seen) == 1 else "both"


_TABLE = """
street
  rain = it | rain | rained
  sprinkler = the sprinkler | run | ran | run
  sand = the driver | spread sand | spread sand
  wetness = the street | get wet | got wet : rain or sprinkler
  slip = the cyclist | slip | slipped : wetness and not sand
bakery
  flour = the flour | arrive | arrived
  fire = the oven | burn | burned
  dough = the dough | rise | rose | risen : flour
  bread = the bread | bake | baked : dough and fire
  queue = a queue | form | formed : bread
garden
  sun = the sun | shine | shone
  watering = the gardener | pour water | poured water
  frost = frost | come | came | come
  growth = the roses | grow | grew | grown : sun and watering
  bloom = the roses | open | opened : growth and not frost
  bees = the bees | visit | visited : bloom
house
  storm = a storm | rage | raged
  candle = the candle | flare | flared
  outage = the power | fail | failed : storm
  darkness = the room | turn dark | turned dark : outage and not candle
  fall = the guest | stumble | stumbled : darkness
alarm
  thief = a thief | enter | entered
  cat = the cat | jump | jumped
  bell = the bell | ring | rang | rung : thief or cat
  guard = the guard | wake | woke | woken : bell
  call = the neighbour | phone | phoned : bell
harbour
  wind = the wind | blow | blew | blown
  crew = the crew | board | boarded
  fog = fog | fall | fell | fallen
  sailing = the ship | sail | sailed : wind and crew
  landing = the ship | land | landed : sailing and not fog
school
  study = the pupil | study | studied
  fever = the pupil | catch fever | caught fever
  help = the teacher | explain | explained
  skill = the pupil | understand | understood : study or help
  pass = the pupil | pass | passed : skill and not fever
  prize = the parents | cheer | cheered : pass
kitchen
  spark = the stove | spark | sparked
  gas = gas | leak | leaked
  smoke = the stew | smoke | smoked
  blaze = a blaze | start | started : spark and gas
  siren = the siren | sound | sounded : blaze or smoke
farm
  drought = the well | dry up | dried up
  pest = beetles | swarm | swarmed
  spray = the farmer | spray | sprayed
  damage = the leaves | wither | withered : pest and not spray
  loss = the harvest | suffer | suffered : drought or damage
  price = the price | climb | climbed : loss
road
  ice = ice | cover the bridge | covered the bridge
  salt = the truck | strew salt | strewed salt
  crowd = a crowd | gather | gathered
  skid = the bus | skid | skidded : ice and not salt
  jam = a jam | build up | built up : skid or crowd
  delay = the mail | come late | came late | come late : jam
forge
  coal = the smith | add coal | added coal
  bellows = the bellows | pump | pumped
  heat = the iron | glow | glowed : coal and bellows
  blade = the blade | bend | bent : heat
clinic
  germ = a germ | spread | spread
  vaccine = the nurse | vaccinate | vaccinated
  rest = the patient | rest | rested
  illness = the patient | fall ill | fell ill | fallen ill : germ and not vaccine
  cough = the patient | cough | coughed : illness
  absence = the shop | stay closed | stayed closed : illness or rest
theatre
  poster = the poster | hang | hung
  review = the critic | praise it | praised it
  strike = the actors | strike | struck
  interest = the town | talk | talked : poster or review
  sale = the tickets | sell | sold : interest and not strike
pond
  heatwave = a heatwave | last | lasted
  waste = the mill | dump waste | dumped waste
  algae = algae | bloom | bloomed : heatwave and waste
  fish = the fish | die | died : algae
  smell = the pond | smell | smelled : algae
observatory
  cloud = clouds | pass | passed
  power = the motor | turn | turned
  comet = a comet | appear | appeared
  view = the dome | show it | showed it | shown it : comet and not cloud
  picture = the camera | record it | recorded it : view and power
mine
  gate = the gate | jam shut | jammed shut
  flood = water | pour in | poured in
  pump = the engine | work | worked
  depth = the shaft | fill | filled : flood and not pump
  escape = the miners | flee | fled : depth or gate
"""

HELD_OUT = ("observatory", "mine")
"""Domains that no training text tells of, for tests of methods that are given the rules or train on their own."""


def _read(table: str) -> dict[str, Domain]:
    found: dict[str, list[Variable]] = {}
    for line in table.strip().splitlines():
        if not line.startswith(" "):
            found[line] = []
            continue
        head, _, rule = line.partition(" : ")
        noun, forms = (part.strip() for part in head.split(" = "))
        subject, base, past, *participle = (form.strip() for form in forms.split("|"))
        operator = next((f" {o} " for o in ("and not", "and", "or") if f" {o} " in rule), " ")
        parents = tuple(p.strip() for p in rule.split(operator) if p.strip()) if rule else ()
        found[next(reversed(found))].append(
            Variable(noun, subject, base, past, participle[0] if participle else past, parents, operator.strip())
        )
    return {name: Domain(name, tuple(variables)) for name, variables in found.items()}


DOMAINS = _read(_TABLE)
"""All domains by name."""
TRAINED = tuple(name for name in DOMAINS if name not in HELD_OUT)
"""The domains of the training text."""


def domain(name: str) -> Domain:
    """A domain by name.

    Raises:
        CounterfactoryError: no domain has that name.
    """
    if name not in DOMAINS:
        raise unknown("domain", name, DOMAINS)
    return DOMAINS[name]
