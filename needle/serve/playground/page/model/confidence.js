// How likely the calls are right, from what the decoder was sure of: needle/student/confidence.py with a fitted calibration.json.

const FLOOR = -12;

/**
 * Features of an answer: `choices` are `{place, chance}`, log-probabilities of the chosen (not the forced) tokens;
 * `share`: its part among those that it was chosen from, null where there was no second look.
 */
export function features({ ids, choices }, tokenizer, share = null) {
  const [call, none] = ["<call>", "<none>"].map((name) => tokenizer.special.get(name));
  const openers = ['{"', "{"].map((text) => tokenizer.vocabulary.get(text));
  const within = new Set();
  let inside = false;
  ids.forEach((id, place) => {
    if (id === call) inside = true;
    else if (openers.includes(id)) inside = false;
    else if (inside) within.add(place);
  });
  const chances = choices.length ? choices.map((choice) => choice.chance) : [FLOOR];
  const total = chances.reduce((sum, chance) => sum + chance, 0), probability = Math.exp(total);
  return {
    probability, total: Math.max(total, FLOOR), rest: Math.log(Math.max(1 - probability, Math.exp(FLOOR))), least: Math.exp(Math.min(...chances)),
    name: Math.exp(choices.reduce((sum, choice) => sum + (within.has(choice.place) ? choice.chance : 0), 0)),
    none: Number(ids[0] === none), calls: ids.filter((id) => id === call).length, share: share ?? probability,
  };
}

/** Probability that the calls are right; without a calibration that of the answer itself. */
export function confidence(found, calibration) {
  if (!calibration) return found.probability;
  const score = calibration.features.reduce((sum, name, at) => sum + (calibration.weights[at] * (found[name] - calibration.mean[at])) / calibration.scale[at], calibration.bias);
  return 1 / (1 + Math.exp(-Math.max(-30, Math.min(30, score))));
}
