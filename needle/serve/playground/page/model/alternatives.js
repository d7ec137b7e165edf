// Other answers beside the likeliest one, best first over the turns that it might have taken:
// needle/student/alternatives.py.

import { Unsupported } from "./pattern.js";

const MOST = 7, A_CHOICE = 3;  // alternatives; turns at one choice

/**
 * The turns that an answer might have taken from its choice number `since` on, each with the log-probability of all
 * that is chosen up to it (`worth`).
 */
export function* turns(answer, since = 0) {
  let before = 0;
  for (const [number, { place, chance, others }] of answer.choices.entries()) {
    const likely = number < since ? [] : [...others].sort((a, b) => b.chance - a.chance).slice(0, A_CHOICE);
    for (const { token, chance: other } of likely) {
      yield { worth: before + other, answer, number, token, choice: { place, chance: other, others: [] } };
    }
    before += chance;
  }
}

/** Finished answers, all different, the most promising turns first. `writer.behind(turn)` writes each. */
export async function* alternatives(answer, writer) {
  const waiting = [...turns(answer)];
  for (let count = 0; count < MOST; count++) {
    waiting.sort((a, b) => b.worth - a.worth);
    const turn = waiting.shift();
    if (!turn) return;
    try {
      const row = await writer.behind(turn);
      yield row;
      waiting.push(...turns(row, turn.number + 1));
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;  // else this turn leads where the grammar here cannot go
    }
  }
}
