// What times and dates a request says, beyond the plain ones of readings.js: needle/tools/grounding/hearing.py, by its
// patterns and tables.

import { hourOf, legible, month, readable, readDates, span, two, wrapped } from "./readings.js";
import { hearing } from "./tables.js";
import { matchAt } from "./units.js";

const { SMALL, MINUTES, DAYS, SHIFTS } = hearing, DAY = 864e5;

/** The first whole date among the facts of a request: what "tomorrow" is counted from; null where there is none. */
export function todayIn(system) {
  const first = [...readDates(readable(legible(system ?? "")))].find((one) => one.value.length === 10)?.value;
  const day = new Date(`${first}T00:00:00Z`);
  return first && first > "0001" && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(first) ? day : null;
}

function hours(hour, said) {
  const part = said.toLowerCase().replaceAll(".", "").trim();
  if (hour > 24) return [];
  if (!part || hour > 12) return hour <= 12 ? [hour % 24, (hour + 12) % 24] : [hour % 24];
  return [part.startsWith("am") || part.includes("morning") ? hour % 12 : (hour % 12) + 12];
}

/** Minutes before and after the hour, bare hours, four digits, time stamps. */
export function* clocks(text) {
  const time = (match, value, sure = true) => span(match, value, { kind: "time", sure });
  for (const match of text.matchAll(hearing.CLOCK)) {
    const said = match.groups.m.toLowerCase().replaceAll("-", " "), minutes = MINUTES.get(said) ?? Number(said);
    const sign = ["to", "before"].includes(match.groups.how.toLowerCase()) ? -1 : 1;
    for (const hour of hours(hourOf(match.groups.h), match.groups.part ?? "")) {
      const total = hour * 60 + sign * minutes;
      yield time(match, `${two(wrapped(Math.floor(total / 60), 24))}:${two(wrapped(total, 60))}`);
    }
  }
  for (const match of text.matchAll(hearing.HOUR)) {
    const said = (match.groups.m ?? "00").toLowerCase();
    const minutes = /^\d/.test(said) ? said : { fifteen: "15", thirty: "30" }[said] ?? "45";
    const possible = hours(hourOf(match.groups.h), match.groups.part ?? "");
    yield* possible.map((hour) => time(match, `${two(hour)}:${minutes}`, Boolean(match.groups.part)));
  }
  for (const match of text.matchAll(hearing.FOUR_DIGITS)) yield time(match, `${match[1]}:${match[2]}`, false);
  for (const match of text.matchAll(hearing.STAMP)) yield { ...time(match, match[1]), start: match.index + 1 };
}

/** Months by themselves, in words or figures, and those of dates. */
export function* months(text) {
  const unsure = ["may", "mar"], kind = "month";
  for (const match of text.matchAll(hearing.MONTH_ONLY)) {
    const { y = "", mon } = match.groups;
    yield span(match, `${y}-${two(month(mon))}`, { kind, sure: !unsure.includes(mon.toLowerCase()) });
  }
  for (const match of text.matchAll(hearing.YEAR_MONTH)) yield span(match, match[0], { kind });
  for (const match of text.matchAll(hearing.MONTH_OF_DATE)) yield span(match, match[1], { kind, sure: false });
}

/** Two days of one month, and days as `3.5.` or `5/3`. */
export function* ranges(text) {
  const date = (match, year, m, d, sure = true) => span(match, `${year}-${two(m)}-${two(d)}`, { kind: "date", sure });
  for (const pattern of [hearing.RANGE, hearing.RANGE2]) {
    for (const match of text.matchAll(pattern)) {
      const { y = "", mon, d, e } = match.groups;
      for (const day of [d, e]) yield date(match, y, month(mon), Number(day.replace(/\D/g, "")));
    }
  }
  for (const match of text.matchAll(hearing.SHORT_DATE)) {
    const [one, other] = [Number(match[1]), Number(match[2])].sort((a, b) => a - b);
    for (const [m, d] of one === other ? [[one, one]] : [[one, other], [other, one]]) {
      if (m > 0 && m <= 12 && d > 0 && d <= 31) yield date(match, "", m, d, false);
    }
  }
}

/** Words for days that are counted from today, and the days they mean. */
export function* relative(text, today) {
  for (const match of text.matchAll(hearing.RELATIVE)) {
    const said = match[1].toLowerCase();
    yield span(match, said, { kind: "relative" });
    for (const days of today ? shifts(said, today) : []) {
      const date = new Date(today.getTime() + days * DAY), year = date.getUTCFullYear();
      if (year < 1 || year > 9999 || Number.isNaN(year)) continue;  // no calendar goes that far
      yield span(match, date.toISOString().slice(0, 10), { kind: "date" });
    }
  }
}

/** Days from today that a relative date may mean. */
function shifts(said, today) {
  if (SHIFTS.has(said)) return [SHIFTS.get(said)];
  const day = DAYS.findIndex((name) => said.includes(name));
  if (day >= 0) {
    const ahead = wrapped(day - (today.getUTCDay() + 6), 7);
    return said.includes("next") ? [ahead, ahead + 7] : [ahead || 7, ahead];
  }
  const match = matchAt(hearing.COUNTED, said, 0);
  if (!match) return [];
  const count = match[1] === "a" ? 1 : SMALL.get(match[1]) ?? (Number(match[1]) || 0);
  return [count * (match[2] === "week" ? 7 : 1) * (match[3] ? -1 : 1)];
}
