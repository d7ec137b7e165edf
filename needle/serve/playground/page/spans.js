// Where each argument is said in the request: the model's evidence where it gives some, else plain occurrences of the value.

/** Values of a call's arguments by path (`0.room`, `0.items.1`), as text. */
function* leaves(value, path) {
  if (Array.isArray(value)) for (const [key, item] of value.entries()) yield* leaves(item, `${path}.${key}`);
  else if (value !== null && typeof value === "object") for (const [key, item] of Object.entries(value)) yield* leaves(item, `${path}.${key}`);
  else if (typeof value === "string" || typeof value === "number") yield [path, String(value)];
}

const isWord = (character) => character !== undefined && /[\p{L}\p{N}]/u.test(character);

/** First place of `value` in the characters of a request as whole words, case and underscores aside; null where it is not said. */
function found(characters, value) {
  const wanted = Array.from(value.replaceAll("_", " ").toLowerCase());
  const said = characters.map((character) => character.toLowerCase());
  if (!wanted.length) return null;
  for (let start = 0; start + wanted.length <= said.length; start++) {
    if (isWord(said[start - 1]) && isWord(wanted[0])) continue;
    if (isWord(said[start + wanted.length]) && isWord(wanted.at(-1))) continue;
    if (wanted.every((character, place) => said[start + place] === character)) return [start, start + wanted.length];
  }
  return null;
}

/** Spans `{path, start, end, score}` in characters (code points), in order and without overlaps; `score` null for a mere occurrence. */
export function spansOf(query, calls, evidence) {
  const characters = Array.from(query);
  let spans = evidence.map(({ path, start, end, score }) => ({ path, start, end, score }));
  if (!spans.length) {
    spans = calls.flatMap((call, place) => [...leaves(call.arguments, String(place))])
      .map(([path, value]) => [path, found(characters, value)])
      .filter(([, place]) => place)
      .map(([path, [start, end]]) => ({ path, start, end, score: null }));
  }
  const kept = [];
  for (const span of spans.filter((one) => one.end > one.start).sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = kept.at(-1);
    if (last && last.start === span.start && last.end === span.end) last.paths.push(span.path);
    else if (!last || span.start >= last.end) kept.push({ ...span, paths: [span.path] });
  }
  return kept;
}

/** The request cut into `{text, span}` pieces; `span` is null between spans. */
export function pieces(query, spans) {
  const characters = Array.from(query), made = [];
  let place = 0;
  for (const span of spans) {
    if (span.start > place) made.push({ text: characters.slice(place, span.start).join(""), span: null });
    made.push({ text: characters.slice(span.start, span.end).join(""), span });
    place = span.end;
  }
  if (place < characters.length) made.push({ text: characters.slice(place).join(""), span: null });
  return made;
}
