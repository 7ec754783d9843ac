/* The dialogue browser. All state stands in the address behind #, so that a view can be shared as a link. */

const DEFAULTS = {
  view: "results", strategy: "", history: "", seed: "", class: "", task: "", outcome: "", order: "plan", find: "",
  beside: "", dialogue: "", turn: "1",
};
const ORDERS = {
  plan: "as planned", gain: "largest gain", loss: "largest loss", low: "lowest score", high: "highest score",
};
const LIST_FIELDS = ["strategy", "history", "seed", "class", "task", "outcome", "order", "find"];
const ROWS_AT_ONCE = 200;
let state = { ...DEFAULTS };
let index = null;
let shown = [];
let listKey = null;
let opened = { position: -1, records: null };

function readAddress() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (name in given) state[name] = given[name];
  if (!["results", "dialogues"].includes(state.view)) state.view = "results";
}

function address(change) {
  const next = Object.entries({ ...state, ...change }).filter(([name, value]) => value !== DEFAULTS[name]);
  return "#" + new URLSearchParams(next);
}

/** Change the state by way of the address; what opens another dialogue can be gone back from. */
function go(change) {
  const next = address(change);
  state = { ...state, ...change };  // a second key may be pressed before the address has changed
  if ("dialogue" in change) location.hash = next;
  else location.replace(next);
}

function readIndex(raw) {
  const hasSeeds = new Set(raw.arms.map(([, , seed]) => seed)).size > 1;
  const arms = raw.arms.map(([strategy, history, seed, oracle], number) => ({
    number, strategy, history, seed: String(seed), oracle,
    label: `${strategy}${oracle ? " (oracle)" : ""} · ${history} history${hasSeeds ? ` · seed ${seed}` : ""}`,
  }));
  const dialogues = raw.dialogues.map(([sampleClass, domain, task, id, question, modalities, rows], position) => ({
    position, sampleClass, domain, task, id, question, modalities, cells: new Map(rows),
    name: `${sampleClass}/${domain}/${task}/${id}`,
  }));
  return { ...raw, arms, dialogues, byName: new Map(dialogues.map((dialogue) => [dialogue.name, dialogue])) };
}

const armOf = (strategy, history, seed) =>
  index.arms.find((arm) => arm.strategy === strategy && arm.history === history && arm.seed === seed);

/** The arm that the filters name, or the nearest to it: the strategy counts most, then the history. */
function mainArm() {
  const fit = (arm) =>
    4 * (arm.strategy === state.strategy) + 2 * (arm.history === state.history) + (arm.seed === state.seed);
  return index.arms.reduce((best, arm) => (fit(arm) > fit(best) ? arm : best));
}

const besideArm = () => (state.beside === "" ? undefined : index.arms[Number(state.beside)]);

/** Mean over scored image turns; over text turns where there is no image; undefined where none is scored. */
function meanScore(dialogue, arm) {
  const cells = (arm && dialogue.cells.get(arm.number)) ?? [];
  const scored = cells.map((cell, turn) => [cell, dialogue.modalities[turn]]).filter(([c]) => typeof c === "number");
  const images = scored.filter(([, modality]) => modality === "i");
  const counted = images.length ? images : scored;
  return counted.length ? counted.reduce((sum, [cell]) => sum + cell, 0) / counted.length : undefined;
}

/** Mean difference to the baseline over the image turns that both have scored, at like history and seed. */
function gainOf(dialogue, arm) {
  const base = index.baseline && armOf(index.baseline, arm.history, arm.seed);
  const here = dialogue.cells.get(arm.number);
  const there = base && dialogue.cells.get(base.number);
  if (!here || !there) return undefined;
  const gains = here.flatMap((cell, turn) =>
    dialogue.modalities[turn] === "i" && typeof cell === "number" && typeof there[turn] === "number"
      ? [cell - there[turn]] : []);
  return gains.length ? gains.reduce((sum, gain) => sum + gain, 0) / gains.length : undefined;
}

function selectDialogues(arm) {
  const words = state.find.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (dialogue) => {
    const cells = dialogue.cells.get(arm.number);
    return cells &&
      (!state.class || dialogue.sampleClass === state.class) &&
      (!state.task || `${dialogue.domain}/${dialogue.task}` === state.task) &&
      (!state.outcome || outcomesOf(cells).has(state.outcome)) &&
      words.every((word) => `${dialogue.name} ${dialogue.question}`.toLowerCase().includes(word));
  };
  const rows = index.dialogues.filter(fits)
    .map((dialogue) => ({ dialogue, score: meanScore(dialogue, arm), gain: gainOf(dialogue, arm) }));
  const by = { gain: ["gain", -1], loss: ["gain", 1], low: ["score", 1], high: ["score", -1] }[state.order];
  if (!by) return rows;
  const [field, sign] = by;
  return rows.sort((a, b) => (a[field] === undefined) - (b[field] === undefined) ||
    sign * (a[field] - b[field]) || a.dialogue.position - b.dialogue.position);
}

const outcomesOf = (cells) =>
  new Set(cells.filter((cell) => cell !== null).map((cell) => (typeof cell === "number" ? "scored" : cell)));
