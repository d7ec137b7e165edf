"""Suggested values for arguments, so that an author does not write of Alice in Paris at seven every time.

    Suggester(("de_DE",)).suggest(tool, "recipient", random.Random(1))      # "Wiebke Hölzenbecher"

People, places, firms and addresses come from banks that are built in, or from Faker (extra ``[train]``) where locales
are asked for: its data change between releases, so a run that uses it records the release. Numbers, times and dates are
drawn from what the schema allows.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from needle.errors import UserError
from needle.teacher.embedded.text import content, words
from needle.teacher.embedded.typed import typed_number, typed_string
from needle.tools.arguments import schema_at, value_class
from needle.tools.spec import ToolSpec

FIRST = (
    "Aaliyah Abel Adam Agnes Aisha Alba Alice Amara Amit Ana Andrei Anika Anton Ariel Arun Astrid Aurora Ayumi Beatriz Ben "
    "Bianca Bo Bruno Camila Carlos Chen Chloe Chidi Clara Dana Daniel Dario Deepa Diego Dmitri Dora Eduardo Eileen Elif "
    "Emeka Emma Enzo Esther Fatima Felix Fiona Francois Freya Gabriel Giulia Grace Gustav Hana Harriet Hassan Helga Hugo "
    "Ibrahim Ines Ingrid Isaac Ivana Jada Jakub Jamal Jan Javier Jin Joan Jonas Jorge Juan Julia Kai Karim Katya Kenji "
    "Kwame Lars Laura Leila Leo Liam Lin Lucia Luis Magnus Maja Malik Marco Maria Marta Mateo Maya Mei Miguel Mina Mira "
    "Mohammed Nadia Naomi Nia Nikolai Nina Noah Nora Oksana Olga Omar Oscar Owen Paolo Petra Priya Rafael Rashid Ravi "
    "Rebecca Rosa Ruth Salma Samir Sara Sean Selma Simone Sofia Soren Stella Sunita Tariq Tess Theo Tomas Uma Viktor Wei "
    "Willa Yara Yusuf Zainab Zoe".split()
)
LAST = (
    "Abbott Acosta Adeyemi Ahmed Almeida Andersen Bakker Banerjee Becker Bianchi Bishop Boateng Bose Brandt Brennan Campos "
    "Carvalho Castillo Chandra Chen Choi Clarke Costa Cruz Dalton Das Diaz Dubois Eriksen Farah Fernandes Fischer Flores "
    "Garcia Gomez Gupta Haddad Hansen Hart Hassan Hoffmann Horvat Ito Ivanov Jansen Jensen Johnson Kaminski Kapoor Karlsson "
    "Keller Khan Kim Kovacs Kowalski Kumar Larsen Laurent Lee Lehmann Lindgren Lopez Marin Martin Mbeki Mendes Meyer Moreau "
    "Moretti Mwangi Nakamura Navarro Nguyen Nielsen Novak Nowak Oduya Okafor Oliveira Olsen Ortiz Osei Park Patel Pereira "
    "Petrov Popov Quinn Rahman Ramos Reyes Ricci Rivera Romano Rossi Rowe Sato Schmidt Silva Singh Smit Sokolov Suzuki "
    "Svensson Takahashi Tan Torres Tran Turner Usman Varga Vega Vogel Walsh Wang Weber Wong Yamada Yilmaz Zhang".split()
)
CITIES = (
    "Aarhus,Accra,Adelaide,Amsterdam,Antwerp,Athens,Austin,Bangalore,Bangkok,Barcelona,Basel,Belfast,Belgrade,Bergen,Berlin,"
    "Bogota,Bologna,Boston,Bratislava,Bristol,Brussels,Bucharest,Budapest,Buenos Aires,Cairo,Calgary,Cape Town,Cardiff,"
    "Chennai,Chicago,Cologne,Copenhagen,Cork,Dakar,Dallas,Delhi,Denver,Dresden,Dubai,Dublin,Durban,Edinburgh,Florence,"
    "Frankfurt,Galway,Gdansk,Geneva,Ghent,Glasgow,Graz,Hamburg,Hanoi,Helsinki,Istanbul,Jaipur,Jakarta,Johannesburg,Kyoto,"
    "Krakow,Lagos,Leeds,Leipzig,Lima,Lisbon,Liverpool,Ljubljana,London,Lyon,Madrid,Malmo,Manchester,Manila,Marseille,"
    "Melbourne,Mexico City,Milan,Montreal,Mumbai,Munich,Nairobi,Naples,New York,Nice,Osaka,Oslo,Ottawa,Palermo,Paris,Perth,"
    "Porto,Prague,Quito,Reykjavik,Riga,Rome,Rotterdam,San Diego,Santiago,Sao Paulo,Seattle,Seoul,Seville,Singapore,Sofia,"
    "Stockholm,Stuttgart,Sydney,Tallinn,Tampere,Tokyo,Toronto,Trieste,Turin,Utrecht,Valencia,Vancouver,Venice,Vienna,"
    "Vilnius,Warsaw,Wellington,York,Zagreb,Zurich"
).split(",")
COUNTRIES = (
    "Argentina,Australia,Austria,Belgium,Brazil,Canada,Chile,China,Colombia,Croatia,Denmark,Egypt,Estonia,Finland,France,"
    "Germany,Ghana,Greece,Hungary,Iceland,India,Indonesia,Ireland,Italy,Japan,Kenya,Latvia,Mexico,Morocco,Netherlands,"
    "New Zealand,Nigeria,Norway,Peru,Poland,Portugal,Romania,Senegal,Serbia,Slovenia,South Africa,Spain,Sweden,Switzerland,"
    "Thailand,Turkey,Ukraine,Uruguay,Vietnam"
).split(",")
STREETS = (
    "Oak,Maple,Station,Church,Mill,Park,Victoria,Garden,Harbour,River,Bridge,Castle,Linden,Orchard,Queen,Chapel,Meadow,"
    "Hill,Cedar,Market,Abbey,Willow,Canal,School,Tower,Albert,Elm,Juniper,Quarry,Rose"
).split(",")
WAYS = ("Street", "Road", "Lane", "Avenue", "Close", "Way", "Square", "Drive")
FIRMS = (
    "Ltd",
    "GmbH",
    "& Sons",
    "Group",
    "Logistics",
    "Foods",
    "Studio",
    "Partners",
    "Supplies",
    "Works",
    "Labs",
    "Trading",
)
COLOURS = (
    "black,white,navy,dark green,burgundy,grey,beige,teal,mustard,olive,sky blue,coral,brown,lilac,cream,charcoal,turquoise,"
    "pink,silver,khaki"
).split(",")

SLOTS: tuple[tuple[str, frozenset[str], str], ...] = tuple(
    (slot, frozenset(names.split()), said)
    for slot, names, said in (
        ("email", "email mail", ""),
        ("phone", "phone mobile telephone", ""),
        ("street", "street address", r"\bstreet\b"),
        ("postcode", "postcode zip postal", r"\bpost(al )?code\b"),
        ("country", "country nation", r"\bcountry\b"),
        ("city", "city town", r"\b(city|town)\b"),
        ("company", "company firm seller merchant vendor supplier employer client", r"name of the (company|firm|seller)"),
        (
            "person",
            "person contact recipient guest patient assignee owner employee passenger attendee invitee",
            r"names? (of|or|and)\b.{0,24}\b(person|contact|customer|patient|guest|friend|owner|holder)",
        ),
        ("color", "color colour", ""),
    )
)
"""Kind of value, words of a parameter's name (stemmed) that ask for it, and what in a description does."""


def slot_of(tool: ToolSpec, path: str) -> str:
    """What kind of thing a free-text argument holds, by the words of its name and description; empty when unknown."""
    schema = schema_at(tool.parameters, path)
    schema = schema.get("items") if isinstance(schema.get("items"), dict) else schema
    if value_class(schema) not in ("text", "email") or "enum" in schema or "pattern" in schema:
        return ""
    named = set(content(path.rpartition(".")[2])) | ({words(path)[0]} if path.endswith(".name") else set())
    described = str(schema.get("description", "")).lower()
    return next((slot for slot, names, said in SLOTS if named & names or (said and re.search(said, described))), "")


class Suggester:
    """Draws suggestions; ``locales`` empty means the built-in banks."""

    def __init__(self, locales: Sequence[str] = ()) -> None:
        """Raises UserError when Faker is not installed, or does not know a locale."""
        self.locales = tuple(locales)
        if self.locales:
            check_locales(self.locales)

    def suggest(self, tool: ToolSpec, path: str, rng: random.Random, locale: str = "") -> Any:
        """A value for the argument at a dotted path, or None where it is better to leave the choice to the author."""
        schema = schema_at(tool.parameters, path)
        kind = value_class(schema)
        if kind == "number":
            return typed_number(schema, words(path), schema.get("type", "number"), rng)
        if kind in ("time", "date", "date-time"):
            return typed_string(schema, words(path), rng)
        slot = slot_of(tool, path)
        if not slot:
            return None
        value = FAKED[slot](_faker(locale, rng)) if locale else BUILT_IN[slot](rng)
        return [value] if kind == "array" else value


def check_locales(locales: Sequence[str]) -> str:
    """The release of Faker, after every locale has been found usable. Raises UserError."""
    try:
        import faker
    except ImportError:
        raise UserError("locales need Faker: pip install needle-distill[train], or leave --locales out") from None
    for locale in locales:
        try:
            faker.Faker(locale)
        except AttributeError:
            raise UserError(f"Faker knows no locale {locale!r}; give one such as en_GB or de_DE") from None
    return str(faker.VERSION)


@lru_cache(maxsize=128)
def _made(locale: str) -> Any:
    from faker import Faker

    return Faker(locale)


def _faker(locale: str, rng: random.Random) -> Any:
    made = _made(locale)
    made.seed_instance(rng.getrandbits(64))
    return made


def _person(rng: random.Random) -> str:
    first = rng.choice(FIRST)
    return first if rng.random() < 0.6 else f"{first} {rng.choice(LAST)}"


BUILT_IN: dict[str, Callable[[random.Random], str]] = {
    "person": _person,
    "city": lambda rng: rng.choice(CITIES),
    "country": lambda rng: rng.choice(COUNTRIES),
    "street": lambda rng: f"{rng.randrange(1, 240)} {rng.choice(STREETS)} {rng.choice(WAYS)}",
    "postcode": lambda rng: f"{rng.randrange(10000, 99999)}",
    "company": lambda rng: f"{rng.choice(LAST)} {rng.choice(FIRMS)}",
    "email": lambda rng: (
        f"{rng.choice(FIRST).lower()}.{rng.choice(LAST).lower()}@{rng.choice(STREETS).lower()}.example"
    ),
    "phone": lambda rng: (
        f"+{rng.choice((1, 33, 44, 49, 91))} {rng.randrange(200, 999)} {rng.randrange(100000, 999999)}"
    ),
    "color": lambda rng: rng.choice(COLOURS),
}
"""Kind of value to a draw from the built-in banks."""
FAKED: dict[str, Callable[[Any], str]] = {
    "person": lambda fake: fake.first_name() if fake.random_int(0, 9) < 6 else fake.name(),
    "city": lambda fake: fake.city(),
    "country": lambda fake: fake.country(),
    "street": lambda fake: re.sub(r"\s*\n\s*", ", ", fake.street_address()),
    "postcode": lambda fake: fake.postcode(),
    "company": lambda fake: fake.company(),
    "email": lambda fake: fake.ascii_safe_email(),
    "phone": lambda fake: fake.phone_number(),
    "color": lambda fake: fake.color_name().lower(),
}
"""Kind of value to a draw from Faker."""
