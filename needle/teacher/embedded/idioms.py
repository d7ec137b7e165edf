"""How people word the wishes that apps are most often for: lights, heating, blinds, locks, alarms, timers, messages, music,
shopping, driving, calendar. Data only; ``idiomatic.py`` fits it to the tools of a toolset.

A frame is a wording with roles in braces. Before a ``|`` stand conditions: ``~`` (implicit: the action is not named),
``role:value``, ``role<50``, ``role>60``. ``{level%}`` is a number with or without a percent sign.
"""

from __future__ import annotations

ROLES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    role: (frozenset(names.split()), frozenset(kinds.split()))
    for role, names, kinds in (
        ("place", "room rooms zone area location place where window windows door doors floor device", "enum text array"),
        ("level", "brightness level percent position percentage intensity open_percent", "number"),
        ("color", "color colour", "enum text"),
        ("state", "state on power turned_on status", "enum boolean"),
        ("degree", "temperature celsius temp degrees target", "number"),
        ("mode", "mode", "enum"),
        ("locked", "locked lock", "boolean"),
        ("time", "time at when start hour", "time"),
        ("date", "date day on", "date"),
        ("days", "days weekdays repeat", "array"),
        ("label", "label name title", "text"),
        ("amount", "amount", "number"),
        ("unit", "unit units", "enum"),
        ("minutes", "minutes duration_minutes mins duration_min", "number"),
        ("seconds", "seconds duration_seconds secs duration_sec", "number"),
        ("person", "recipient contact person to who name friend", "text"),
        ("text", "text message body content", "text"),
        ("app", "app channel service", "enum"),
        ("query", "query song what track artist title", "text"),
        ("speaker", "speaker device room player", "enum text"),
        ("volume", "volume", "number"),
        ("shuffle", "shuffle random", "boolean"),
        ("items", "items products things item product", "array text"),
        ("store", "store shop supermarket", "text"),
        ("destination", "destination address place to", "text"),
        ("stops", "stops via waypoints", "array"),
        ("avoid", "avoid", "array"),
        ("arrive", "arrive_by arrival_time", "time"),
        ("city", "city place location where", "text"),
        ("category", "category kind type", "enum"),
        ("item", "item value metric", "enum"),
        ("event", "title event name subject", "text"),
        ("people", "attendees guests participants people invitees", "array"),
        ("speed", "speed speed_kmh kmh", "number"),
        ("list", "list", "text enum"),
        ("minutes_long", "duration_minutes length_minutes", "number"),
    )
}
"""Role to words of a parameter's name and to the kinds of value that it may have."""

TOPICS: tuple[tuple[str, str, str, str], ...] = (
    ("light lights lamp lamps lighting", "", "place", """
level<45|dim the {place} to {level%}
level<45|dim the {place} lights to {level%}
level<30|~it's too bright in the {place}, {level%} is plenty
level>55|brighten the {place} to {level%}
level>55|~it's too dim in the {place}, i want {level%}
{place} lights to {level%}
{place} at {level%}
put the {place} lights at {level%}
turn the {place} lights to {level%}
lights in the {place} at {level%} please
i want the {place} lights at {level%}
brightness {level%} in the {place}
state:on|{place} lights on
state:on|lights on in the {place}
state:on|turn the {place} lights on
state:on|put the lights on in the {place}
state:on|light in the {place} please
state:on|~it's so dark in the {place}
state:on|~i can't see a thing in the {place}
state:off|{place} lights off
state:off|lights out in the {place}
state:off|turn the {place} lights off
state:off|kill the lights in the {place}
state:off|~we don't need any light in the {place} now
state:on|turn the {place} lights on at {level%}
state:on|{place} lights on, {level%}
state:on|turn the {place} lights on in {color}
make the {place} {color}
{place} lights {color}
turn the {place} lights {color}
{color} light in the {place}
i'd like {color} light in the {place}
make the {place} {color} at {level%}
{place} {color}, {level%}
"""),
    ("thermostat heating heat climate temperature ac", "", "degree mode", """
set the heating to {degree}
{degree} degrees please
make it {degree} degrees
heating to {degree}
turn the heat to {degree} degrees
~it's freezing in here, make it {degree} degrees
~i'm boiling, {degree} degrees would be nice
~i'd feel better at {degree} degrees
set the {place} to {degree} degrees
{place} to {degree}
make the {place} {degree} degrees
i want {degree} degrees in the {place}
~the {place} should be {degree} degrees
mode:off|turn the heating off
mode:off|heating off
mode:off|turn off the heating in the {place}
mode:off|no heating in the {place} please
put the thermostat on {mode}
{mode} mode please
switch the heating to {mode}
{mode} mode in the {place}
put the {place} on {mode}
{degree} degrees, {mode} mode
set it to {degree} on {mode}
{mode} mode at {degree} degrees in the {place}
"""),
    ("blind blinds shutter shutters curtain curtains window windows sunroof", "", "place level", """
level:0|close the {place} {noun}
level:0|shut the {noun} in the {place}
level:0|{place} {noun} closed please
level:100|open the {place} {noun}
level:100|open the {noun} in the {place} all the way
level:100|{place} {noun} all the way up
{place} {noun} to {level%}
open the {place} {noun} {level%}
{noun} in the {place} to {level%}
set the {place} {noun} at {level%}
put the {noun} in the {place} at {level%}
~i want the {place} {noun} {level%} open
"""),
    ("lock door doors", "", "place locked", """
locked:true|lock the {place}
locked:true|make sure the {place} is locked
locked:true|{place} locked please
locked:true|~the {place} should be locked
locked:false|unlock the {place}
locked:false|{place} unlocked please
locked:false|let me in through the {place}
"""),
    ("alarm alarms wake", "make", "time", """
wake me at {time}
wake me up at {time}
get me up at {time}
alarm at {time}
{time} alarm please
set an alarm for {time}
i need to be up at {time}
~i have to get out of bed at {time}
wake me at {time} every {days}
alarm at {time} on {days}
set an alarm for {time} every {days}
every {days} at {time}, wake me
alarm at {time} for {label}
set an alarm at {time} called {label}
alarm at {time}, label {label}
alarm called {label} at {time} every {days}
"""),
    ("timer timers countdown", "make", "amount minutes seconds", """
timer for {length}
{length} timer
set a timer for {length}
start a {length} timer
count down {length}
give me {length} on the timer
~let me know when {length} are over
time {length} for the {label}
set a {length} timer called {label}
{label} timer, {length}
timer for {length} named {label}
"""),
    ("message messages sms text chat whatsapp", "make", "person text", """
text {person}: {text}
tell {person}: {text}
message {person} saying {text}
send {person} a message: {text}
send {person} a text that says {text}
write {person}: {text}
let {person} know: {text}
~{person} should know this: {text}
message for {person}: {text}
{app} {person}: {text}
send {person} a {app} saying {text}
tell {person} on {app}: {text}
use {app} and tell {person}: {text}
message {person} with {app}: {text}
"""),
    ("music song songs audio playlist track", "", "query", """
play {query}
put on {query}
i want to hear {query}
let me hear {query}
play some {query}
i'd like to listen to {query}
~i'm in the mood for {query}
play {query} on the {speaker}
put {query} on in the {speaker}
{query} on the {speaker} please
shuffle:true|shuffle {query}
shuffle:true|play {query} on shuffle
shuffle:true|mix up {query}
play {query} at {volume%}
{query} at volume {volume}
play {query} on the {speaker} at {volume%}
shuffle:true|shuffle {query} on the {speaker}
shuffle:true|shuffle {query} at volume {volume}
"""),
    ("shopping groceries list grocery", "make", "items", """
put {items} on the shopping list
add {items} to the shopping list
add {items} to my list
we need {items}
~we're out of {items}
~there's no {items} left
i need to buy {items}
{items} on the shopping list
shopping list: {items}
put {items} on the list for {store}
we need {items} from {store}
get {items} at {store}
add {items} to the list for {store}
"""),
    ("navigate navigation route directions drive", "", "destination", """
take me to {destination}
navigate to {destination}
drive to {destination}
directions to {destination}
how do i get to {destination}
let's go to {destination}
~i need to be at {destination}
take me to {destination} by {arrive}
i have to be at {destination} by {arrive}
navigate to {destination} via {stops}
drive to {destination} and stop at {stops}
take me to {destination}, no {avoid}
route to {destination} avoiding {avoid}
"""),
    ("weather forecast", "ask", "city", """
what's the weather in {city}
weather in {city}
how's the weather in {city}
forecast for {city}
~do i need an umbrella in {city}
what's the weather in {city} on {date}
weather for {city} on {date}
"""),
    ("nearby near around", "ask", "category", """
find a {category} nearby
where is the nearest {category}
any {category} around here
look for a {category}
~i need a {category}
is there a {category} close by
"""),
    ("event calendar appointment meeting", "make", "event date", """
put {event} in the calendar on {date}
{event} on {date}
add {event} to my calendar for {date}
schedule {event} for {date}
put {event} in the calendar on {date} at {time}
schedule {event} on {date} at {time}
{event} on {date} at {time}
add {event} on {date} at {time} with {people}
schedule {event} with {people} on {date}
i have {event} on {date} at {time}, put it in the calendar
"""),
    ("status vehicle car", "ask", "item", """
what's the {item}
check the {item}
how is the {item}
show me the {item}
tell me the {item}
{item} please
"""),
    ("cruise", "", "speed", """
cruise control at {speed}
set the cruise control to {speed}
hold {speed}
keep it at {speed} kilometres an hour
"""),
)  # fmt: skip
"""Words of a tool's name that make it one of a topic, its purpose (``make``, ``ask`` or any), roles of which one is needed,
and frames, a line each."""
IMPERATIVE = frozenset(
    "dim brighten put turn make set switch close shut open lock unlock wake get start count give text tell message send write "
    "play shuffle add take navigate drive schedule find look check show hold keep use mix time kill".split()
)
"""First words of frames that "can you" and "don't" may go before."""
