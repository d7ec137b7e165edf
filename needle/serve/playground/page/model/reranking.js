// A second look at an unsure answer: of several answers the one that fits the request best:
// needle/student/reranking.py.

import { canonical } from "./exact.js";

const DOUBT = 0.8;  // probability of an answer below which there is a second look

const total = ({ choices }) => choices.reduce((sum, choice) => sum + choice.chance, 0);
const added = (one, other) => Math.max(one, other) + Math.log1p(Math.exp(-Math.abs(one - other)));

/** Whether a second look may pay. */
export const doubtful = (answer) => Math.exp(total(answer)) < DOUBT;

/**
 * The answers whose calls `parse(ids)` can read, `{answer, calls, chance}`: ways to write the same calls are one, of
 * which the likeliest is kept, and `chance` is the log-probability of all.
 */
export function candidates(found, parse) {
  const kept = new Map();
  for (const answer of found) {
    let calls;
    try { calls = parse(answer.ids); } catch { continue; }
    const key = canonical(calls), chance = total(answer), same = kept.get(key);
    if (!same) kept.set(key, { answer, calls, chance });
    else {
      same.chance = added(same.chance, chance);
      if (chance > total(same.answer)) same.answer = answer;
    }
  }
  return [...kept.values()];
}

/** The `answer` with the highest weighted sum, and its `share` among all; null where there is none. */
export function best(found, agreement, { sharpness, ...weights }) {
  const sums = found.map(({ calls, chance }) => {
    const features = agreement.features(calls);
    return Object.entries(weights).reduce((sum, [name, weight]) => sum + weight * features[name], sharpness * chance);
  });
  const top = Math.max(...sums), share = 1 / sums.reduce((sum, one) => sum + Math.exp(one - top), 0);
  return found.length ? { answer: found[sums.indexOf(top)].answer, share } : null;
}
