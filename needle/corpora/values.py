"""Values to fill placeholders with, by kind: what people name, write, rate and link to.

Lists for kinds of which the corpora hold few; the rest is read from the labelled slots of other sets that lie in the same
data folder (SGD, HWU64), so that the variety grows with what is there.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

BANKS = {
    "device": "kitchen|bedroom|living room|office|upstairs|garage|hallway|guest room|basement|balcony|dining room|kids room|patio|bathroom|study|front door|back yard|attic|main|den",
    "message": "i'm running late|see you at eight|dinner is ready|happy birthday|call me when you can|the meeting is moved to friday|don't forget the keys|good luck today|we landed safely|thanks for last night|on my way home|the parcel has arrived|can you pick up milk|great game yesterday|out sick today|new photos are up|just finished my first marathon|who wants coffee|the build is broken again|back in ten minutes|traffic is terrible|let's do lunch tomorrow|the plumber comes at nine|miss you already|finally friday",
    "title": "spring cleaning|weekly report|the great reset|how to grow tomatoes|budget draft|summer plans|election results|climate summit|a brief history of tea|board minutes|travel checklist|lost keys|office party|the last lighthouse|project kickoff|nine easy soups|roadmap|rental agreement|bird watching|quarterly numbers",
    "query": "electric cars|cheap flights to rome|solar panels|sourdough bread|world cup|marathon training|black holes|jazz piano|tax deadline|vintage cameras|puppy training|northern lights|knitting patterns|rust programming|street food|paper planes|vertical gardens|chess openings|hiking boots|earthquake",
    "username": "@bob|@alice_w|@nasa|@mike99|@coffee_daily|@jane.doe|@thebakery|@leo_m|@sara|@devnews|@kim_s|@oldtown",
    "hashtag": "#cats|#throwback|#nofilter|#worldcup|#mondaymood|#running|#ai|#vegan|#sunset|#breakingnews|#diy|#blackfriday",
    "email": "bob@gmail.com|anna.lee@example.com|sales@acme.co|mike_t@yahoo.com|info@kinderhaus.de|j.smith@outlook.com|team@startup.io|nina88@hotmail.com",
    "phone": "650-555-0134|+1 415 555 0199|(212) 555-0147|555-0182|07700 900123|+44 20 7946 0958",
    "url": "http://example.com/feed.xml|https://news.example.org/rss|https://example.net/cat.jpg|http://pics.example.com/42.png|https://blog.example.io/atom",
    "path": "notes.txt|report.pdf|photos/beach.png|taxes-2019.xlsx|music/demo.mp3|resume.docx|todo.md|backup.zip",
    "date": "march 5|june 21st|tomorrow|yesterday|next friday|january 2nd 2019|5/12/2020|last monday|the 4th of july|november 11|may 2017|today",
    "time": "5 pm|7:30 am|noon|9 pm|8 in the morning|18:45|quarter past six|10:15|midnight|6 am",
    "duration": "5 minutes|two hours|30 seconds|one day|45 minutes|a week|90 minutes|10 seconds",
    "money": "$5|20 dollars|$1500|100 euros|$60|35 bucks|$0.99|£250",
    "cuisine": "mexican|thai|italian|sushi|indian|burgers|vietnamese|greek|korean|ramen|ethiopian|tapas|vegan|barbecue|french",
    "language": "spanish|french|german|japanese|italian|korean|chinese|portuguese|dutch|russian|arabic|swedish",
    "country": "france|japan|brazil|kenya|canada|italy|norway|india|mexico|egypt",
    "meme": "grumpy cat|success kid|futurama fry|one does not simply|distracted boyfriend|bad luck brian",
    "artist": "taylor swift|radiohead|miles davis|adele|daft punk|kendrick lamar|abba|norah jones|metallica|bad bunny",
    "song": "yellow submarine|shape of you|bohemian rhapsody|take five|hey jude|rolling in the deep|despacito|wonderwall",
    "company": "apple|tesla|google|boeing|nike|netflix|intel|ford",
    "category": "astrophysics|machine learning|number theory|optics|genomics|robotics",
    "location": "palo alto|1200 main street|union square|the airport|brooklyn|seattle|500 market st|times square|oxford|dublin|new orleans|central park",
}  # fmt: skip
"""Kind to values, separated by ``|``."""
_FROM_HWU = {"query": ("definition_word", "news_topic"), "title": ("event_name", "audiobook_name"), "artist": ("artist_name",), "location": ("place_name",), "company": ("business_name",)}
_FROM_SGD = {"location": ("city", "destination_city", "to_city", "to_location", "area"), "artist": ("artist",), "song": ("song_name",), "title": ("movie_name", "event_name", "movie_title")}


@lru_cache(maxsize=4)
def banks(data: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Kind to values, the written ones first; with ``data`` (the folder of the sets) also values labelled in HWU64 and SGD."""
    found = {kind: dict.fromkeys(text.split("|")) for kind, text in BANKS.items()}
    if data and (data / "hwu64" / "hwu64.jsonl").is_file():
        for line in (data / "hwu64" / "hwu64.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            _add(found, _FROM_HWU, ((one["entity"], one["value"]) for one in row["entities"] if row["split"] == "train"))
    if data and (data / "sgd_compact" / "dev.jsonl").is_file():
        with (data / "sgd_compact" / "dev.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                frames = [frame for turn in json.loads(line)["turns"] for frame in turn.get("f", ())]
                _add(found, _FROM_SGD, ((slot, values[0]) for frame in frames for slot, values in frame.get("slots", {}).items()))
    return {kind: tuple(values) for kind, values in found.items()}


def _add(found: dict[str, dict[str, None]], wanted: dict[str, tuple[str, ...]], pairs: object) -> None:
    kinds = {slot: kind for kind, slots in wanted.items() for slot in slots}
    for slot, value in pairs:  # type: ignore[attr-defined]
        if slot in kinds and 2 < len(value) < 40 and value != "dontcare":
            found[kinds[slot]][value] = None


def drawer(data: Path | None) -> Callable[[str, random.Random], str]:
    """``draw(kind, rng)``: a value; half of the time one of the written ones, which are cleaner."""
    all_banks = banks(data)
    written = banks()

    def draw(kind: str, rng: random.Random) -> str:
        return rng.choice(written[kind] if rng.random() < 0.4 else all_banks[kind])

    return draw
