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

/* ---- state and address ---- */

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

/* ---- the index ---- */

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

/* ---- the list ---- */

const percent = (score) => (score === undefined ? "–" : String(Math.round(100 * score)));
const rounded = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3))));
const words = (name) => String(name).replaceAll("_", " ");

function gainMark(gain) {
  if (gain === undefined) return h("span", { class: "gain" }, "");
  const points = Math.round(100 * gain);
  const kind = points > 0 ? "up" : points < 0 ? "down" : "level";
  const sign = { up: "▲ ", down: "▼ ", level: "± " }[kind];
  return h("span", { class: `gain ${kind}`, title: "points against the baseline, over image turns" }, sign, Math.abs(points));
}

/** The scores of a dialogue as small bars, one for each turn. */
function bars(cells) {
  const strip = h("span", { class: "bars", "aria-hidden": "true" });
  for (const cell of cells) {
    const bar = h("i", { class: typeof cell === "number" ? "" : cell === null ? "none" : "failed" });
    if (typeof cell === "number") bar.style.setProperty("--value", cell);
    strip.append(bar);
  }
  return strip;
}

function listRow({ dialogue, score, gain }, arm) {
  const open = () => go({ dialogue: dialogue.name, turn: "1" });
  return h("li", null, h("button", { type: "button", click: open, "data-position": dialogue.position },
    h("span", { class: "name" }, `${words(dialogue.task)} · ${dialogue.id}`),
    h("span", { class: "score" }, percent(score)),
    h("span", { class: "muted words" }, dialogue.question || words(dialogue.domain)),
    gainMark(gain),
    bars(dialogue.cells.get(arm.number))));
}

/** Rows of the list are made as one scrolls to them. */
function extendList() {
  const list = byId("list");
  const next = shown.slice(list.childElementCount, list.childElementCount + ROWS_AT_ONCE);
  list.append(...next.map((row) => listRow(row, mainArm())));
  return next.length > 0;
}

function listButton(dialogue) {
  const find = () => byId("list").querySelector(`[data-position="${dialogue.position}"]`);
  if (!shown.some((row) => row.dialogue === dialogue)) return null;
  while (!find() && extendList());
  return find();
}

function onScroll({ target }) {
  if (target.scrollTop + 2 * target.clientHeight > target.scrollHeight) extendList();
}

function renderList() {
  const arm = mainArm();
  const key = LIST_FIELDS.map((name) => state[name]).join("\n");
  if (key !== listKey) {
    listKey = key;
    shown = selectDialogues(arm);
    byId("list").replaceChildren();
    byId("list").scrollTop = 0;
    extendList();
    const gains = index.baseline && arm.strategy !== index.baseline ? `; ▲▼ against ${index.baseline}` : "";
    byId("count").textContent =
      `${shown.length.toLocaleString("en")} of ${index.dialogues.length.toLocaleString("en")} dialogues, scores × 100${gains}`;
  }
  const before = byId("list").querySelector("[aria-current]");
  before?.removeAttribute("aria-current");
  const dialogue = index.byName.get(state.dialogue);
  const button = dialogue && listButton(dialogue);
  button?.setAttribute("aria-current", "true");
  if (button !== before) button?.scrollIntoView({ block: "nearest" });
}

function fill(name, options) {
  const select = byId("filters").elements[name];
  const same = select.options.length === options.length;
  if (!same) select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
  select.value = state[name];
  select.parentElement.hidden = options.length < 2;
}

function renderFilters() {
  const unique = (values) => [...new Set(values)];
  const arm = mainArm();
  state.strategy = arm.strategy;
  state.history = arm.history;
  state.seed = arm.seed;
  const plain = (values) => values.map((value) => [value, words(value)]);
  fill("strategy", unique(index.arms.map((a) => a.strategy)).map((strategy) => [strategy, strategy]));
  fill("history", plain(unique(index.arms.map((a) => a.history))));
  fill("seed", plain(unique(index.arms.map((a) => a.seed))));
  fill("class", [["", "all"], ...plain(unique(index.dialogues.map((d) => d.sampleClass)))]);
  const tasks = unique(index.dialogues.map((d) => `${d.domain}/${d.task}`)).sort();
  fill("task", [["", "all"], ...tasks.map((task) => [task, words(task.replace("/", " / "))])]);
  const outcomes = new Set(index.dialogues.flatMap((d) => [...d.cells.values()].flatMap((c) => [...outcomesOf(c)])));
  fill("outcome", [["", "all"], ...plain([...outcomes].sort())]);
  fill("order", Object.entries(ORDERS));
  fill("beside", [["", "nothing"], ...index.arms.map((a) => [String(a.number), a.label])]);
  const find = byId("filters").elements.find;
  if (find.value !== state.find) find.value = state.find;
}

/* ---- one dialogue ---- */

/** The stored records of a dialogue: by arm number, by turn. */
async function recordsOf(position) {
  if (!byId(`dialogue-${position}`) && document.readyState === "loading") {
    await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
  }
  const lines = byId(`dialogue-${position}`).textContent.split("\n").filter(Boolean);
  const records = new Map();
  for (const { arm, folder, turns } of await Promise.all(lines.map(unpack))) {
    const there = records.get(arm) ?? records.set(arm, new Map()).get(arm);
    for (const turn of turns) there.set(turn.turn, { ...turn, images: index.folders[folder] });
  }
  return records;
}

async function renderDialogue() {
  const dialogue = index.byName.get(state.dialogue);
  const article = byId("dialogue");
  if (!dialogue) {
    const text = state.dialogue ? `There is no dialogue ${state.dialogue} in this study.` : "Choose a dialogue.";
    article.replaceChildren(h("p", { class: "hint muted" }, text), keys());
    return;
  }
  if (opened.position !== dialogue.position) {
    const reading = { position: dialogue.position, records: null };
    opened = reading;
    try {
      reading.records = await recordsOf(dialogue.position);
    } catch (error) {
      article.replaceChildren(h("p", { class: "hint" }, `The records of ${dialogue.name} cannot be read: ${error.message}`));
      return;
    }
  }
  if (!opened.records || opened.position !== index.byName.get(state.dialogue)?.position) return;
  const arms = [mainArm(), besideArm()].filter(Boolean);
  const turn = Math.min(Math.max(1, Number(state.turn) || 1), dialogue.modalities.length);
  article.replaceChildren(
    heading(dialogue), filmstrip(dialogue, arms, turn), turnPanel(dialogue, arms, turn), allArms(dialogue, turn), keys());
  article.dataset.dialogue = dialogue.name;
  article.dataset.turn = turn;
}

function heading(dialogue) {
  return h("header", null,
    h("h2", null, `${words(dialogue.task)} · ${dialogue.id}`),
    h("p", { class: "muted" }, `${words(dialogue.sampleClass)} · ${words(dialogue.domain)} · ${dialogue.modalities.length} turns`),
    h("p", { class: "step" },
      h("button", { type: "button", click: () => step(-1) }, "← dialogue"),
      h("button", { type: "button", click: () => step(1) }, "dialogue →")));
}

const keys = () => h("p", { class: "keys muted" },
  h("kbd", null, "j"), " ", h("kbd", null, "k"), " dialogues  ", h("kbd", null, "←"), " ", h("kbd", null, "→"), " turns  ",
  h("kbd", null, "/"), " find  ", h("kbd", null, "b"), " baseline beside it",
  "  ·  ", index.embedded ? "Images stand inside this page." : "Images are read from the run folders: keep this page where it lies in the study.");

const record = (arm, turn) => opened.records.get(arm.number)?.get(turn);

/** Any arm's record of a turn: all were asked the same, and have the same reference. */
function anyRecord(turn) {
  return [...opened.records.values()].map((turns) => turns.get(turn)).find(Boolean);
}

/** A part of a message: text, or an image that opens in full size. */
function part(value, folder, alt) {
  if (!value) return h("p", { class: "muted" }, "nothing");
  if (value.image === undefined) return h("p", { class: "text" }, value.text ?? "");
  return h("button", { type: "button", class: "image", "aria-label": `${alt}: show in full size`, click: () => enlarge(value.image, folder, alt) },
    picture(value.image, folder, alt));
}

function enlarge(sha256, folder, alt) {
  const close = h("button", { type: "button", click: () => byId("large").close() }, "Close");
  byId("large").replaceChildren(picture(sha256, folder, alt), h("p", null, h("span", { class: "muted" }, alt), close));
  byId("large").showModal();
}

const textOf = (parts) => (parts ?? []).map((p) => p.text ?? "[image]").join(" ");

function scoreMark(score) {
  const mark = h("span", { class: "points", title: "score × 100" }, h("b", null, percent(score)));
  mark.style.setProperty("--value", score);
  return mark;
}

const outcomeMark = (cell) =>
  cell === undefined || cell === null ? h("span", { class: "muted" }, "not played")
    : typeof cell === "number" ? scoreMark(cell)
    : h("span", { class: "outcome" }, words(cell));

/** The name of an arm, which may break behind the joints of a nesting. */
function armName(arm) {
  const pieces = arm.strategy.split(/(?<=[+_])/).flatMap((piece) => [piece, h("wbr")]);
  return [pieces, h("small", null, arm.label.slice(arm.strategy.length).replace(" · ", ""))];
}

/** All turns at a glance: what was asked, and what each shown arm answered. */
function filmstrip(dialogue, arms, current) {
  const turns = [...dialogue.modalities].map((_, position) => position + 1);
  const cell = (turn, ...content) => h("td", { class: turn === current ? "current" : "" }, content);
  const head = turns.map((turn) => h("th", { scope: "col", class: turn === current ? "current" : "" },
    h("button", { type: "button", "aria-pressed": String(turn === current), click: () => go({ turn: String(turn) }) },
      `Turn ${turn}`, h("small", null, dialogue.modalities[turn - 1] === "i" ? "image" : "text"))));
  const row = (name, content) => h("tr", null, h("th", { scope: "row" }, name), turns.map((turn) => cell(turn, content(turn))));
  const answers = arms.map((arm) => row(armName(arm), (turn) => {
    const there = record(arm, turn);
    const value = there?.response?.output;
    return [value && part(value, there.images, `${arm.strategy}, turn ${turn}`), outcomeMark(dialogue.cells.get(arm.number)?.[turn - 1])];
  }));
  const hasReference = turns.some((turn) => anyRecord(turn)?.reference);
  return h("div", { class: "strip", tabindex: "0", role: "region", "aria-label": "All turns" }, h("table", null,
    h("thead", null, h("tr", null, h("td"), head)),
    h("tbody", null,
      row("asked", (turn) => h("p", { class: "asked" }, textOf(anyRecord(turn)?.input))),
      answers,
      hasReference && row("reference", (turn) => {
        const there = anyRecord(turn);
        return there?.reference && part(there.reference, there.images, `reference, turn ${turn}`);
      }))));
}

function turnPanel(dialogue, arms, turn) {
  const there = anyRecord(turn);
  const asked = there?.input?.map((p) => part(p, there.images, "image of the question")) ?? [h("p", { class: "muted" }, "No run has played this turn.")];
  return h("section", { class: "turn", "aria-label": `Turn ${turn}` },
    h("h3", null, `Turn ${turn} `, h("small", { class: "muted" }, `${dialogue.modalities[turn - 1] === "i" ? "image" : "text"} wanted`)),
    h("div", { class: "question" }, asked),
    h("div", { class: `answers of-${arms.length}` }, arms.map((arm) => answer(dialogue, arm, turn))));
}

function answer(dialogue, arm, turn) {
  const there = record(arm, turn);
  const content = there
    ? [there.error && h("p", { class: "error" }, there.error),
      there.response && node(there.response, there, null),
      seen(arm, turn), costTable(there)]
    : h("p", { class: "muted" }, "Not played: an earlier turn failed, or the run has not come to it.");
  return h("section", { class: "answer", "aria-label": arm.label },
    h("h4", null, arm.label, " ", outcomeMark(dialogue.cells.get(arm.number)?.[turn - 1])), content);
}

/** What the model saw before this turn's question: earlier questions, and the answers that its history holds. */
function seen(arm, turn) {
  const told = { own: "its own earlier answers", gold: "reference answers" }[arm.history] ?? "the answers of another run";
  const messages = [];
  for (let earlier = 1; earlier < turn; earlier += 1) {
    const asked = anyRecord(earlier);
    messages.push(h("div", { class: "user" }, (asked?.input ?? []).map((p) => part(p, asked.images, `turn ${earlier}`))));
    messages.push(h("div", { class: "assistant" }, remembered(arm, earlier, record(arm, turn)?.history_from)));
  }
  const content = messages.length ? messages : h("p", { class: "muted" }, "Nothing: this is the first turn.");
  return h("details", null, h("summary", null, `What the model saw: ${arm.history} history, ${told}`), h("div", { class: "chat" }, content));
}

function remembered(arm, turn, source) {
  const alt = `answer of turn ${turn} in the history`;
  const there = record(arm, turn);
  if (arm.history === "gold") {
    const gold = anyRecord(turn);
    return part(gold?.reference, gold?.images, alt);
  }
  if (arm.history !== "own") {
    const run = source?.split(":")[0];
    const origin = [...opened.records.values()].map((turns) => turns.get(turn)).find((there) => there && there.run === run);
    return origin ? part(origin.response?.output, origin.images, alt) : h("p", { class: "muted" }, `an answer of ${run ?? "a run"}, which is not in this study`);
  }
  const plan = arm.strategy.includes("keep_plan") && there?.response?.plan;
  return [plan && h("p", { class: "text plan" }, plan), part(there?.response?.output, there?.images, alt)];
}

/** A response or candidate with everything that it considered. */
function node(response, there, parent) {
  const { verdict, candidates = [], chosen } = response;
  const alt = `answer of ${response.strategy}`;
  const isPlanNew = response.plan && response.plan !== parent?.plan;
  return h("div", { class: parent ? "node" : "node root" },
    h("div", { class: "output" }, response.output ? part(response.output, there.images, alt) : h("p", { class: "outcome" }, "refused")),
    h("div", { class: "said" },
      response.finish !== "stop" && h("p", { class: "outcome" }, `ended by ${response.finish}`),
      isPlanNew && labelled("Plan", h("p", { class: "text" }, response.plan)),
      response.thought && labelled("Thought", h("p", { class: "text" }, response.thought)),
      verdict && verdictLine(verdict),
      detailOf(response)),
    candidates.length > 0 && h("details", { class: "candidates", open: !parent },
      h("summary", { class: "why" }, whyChosen(response)),
      h("ol", { start: "0" }, candidates.map((candidate, number) => candidateItem(candidate, number, number === chosen, there, response)))));
}

function candidateItem(candidate, number, isChosen, there, parent) {
  return h("li", { class: isChosen ? "chosen" : "" },
    h("p", { class: "number" }, `#${number} ${candidate.strategy} `, isChosen && h("b", null, "✓ chosen "),
      candidate.score != null && scoreMark(candidate.score)),
    node(candidate, there, parent));
}

function whyChosen({ strategy, candidates, chosen, note }) {
  const count = `${candidates.length} considered by ${words(strategy)}`;
  if (chosen == null) return `${count}; none chosen${note ? `: ${note}` : ""}`;
  const verdicts = candidates.map((candidate) => candidate.verdict?.score).filter((score) => score != null);
  const best = candidates[chosen]?.verdict?.score;
  const reasons = [
    verdicts.length > 1 && best != null && best >= Math.max(...verdicts) && `highest verdict, ${best.toFixed(2)}`,
    note,
  ].filter(Boolean);
  return `${count}; chose #${chosen}${reasons.length ? `: ${reasons.join("; ")}` : ""}`;
}

const labelled = (label, ...content) => h("div", { class: "labelled" }, h("span", { class: "label" }, label), content);

function verdictLine(verdict) {
  const said = verdict.status === "ok" ? Number(verdict.score).toFixed(2) : verdict.status;
  return labelled(`Verdict (${verdict.judge})`, h("b", null, said),
    verdict.failed?.length > 0 && h("ul", { class: "failed" }, verdict.failed.map((text) => h("li", null, text))),
    verdict.detail && h("details", null, h("summary", null, "what the judge said"), h("p", { class: "text" }, verdict.detail)));
}

const plainText = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** How the scorer graded: its points with their texts, or whatever fields it left. */
function detailOf({ score, score_detail: detail }) {
  if (score == null) return null;
  const { points, point_texts: texts, reasons, ...rest } = detail ?? {};
  const graded = Array.isArray(points) && h("ol", { class: "graded" }, points.map((point, position) =>
    h("li", null, h("b", null, String(point)), " ", texts?.[position] ?? `point ${position + 1}`,
      reasons?.[position] && h("p", { class: "muted text" }, reasons[position]))));
  const others = Object.entries(rest).map(([name, value]) =>
    h("div", null, h("dt", null, words(name)), h("dd", null, typeof value === "number" ? rounded(value) : plainText(value))));
  return h("details", { class: "scored" }, h("summary", null, `Scorer: ${percent(score)} of 100`), graded, others.length > 0 && h("dl", null, others));
}

function costTable({ cost = {} }) {
  const columns = { calls: "calls", images: "images", nfe: "NFE", prompt_tokens: "prompt tokens", cached_tokens: "shared prompt tokens",
    new_tokens: "new tokens", seconds: "seconds", dollars: "dollars" };
  const payers = Object.entries(cost);
  const used = Object.keys(columns).filter((column) => payers.some(([, spent]) => spent[column]));
  return h("details", { class: "cost" }, h("summary", null, "Cost"), h("table", null,
    h("thead", null, h("tr", null, h("td"), used.map((column) => h("th", { scope: "col" }, columns[column])))),
    h("tbody", null, payers.map(([payer, spent]) =>
      h("tr", null, h("th", { scope: "row" }, payer), used.map((column) => h("td", null, rounded(spent[column] ?? 0))))))));
}

/** The scores of every arm at every turn; a row opens its arm. */
function allArms(dialogue, current) {
  const turns = [...dialogue.modalities].map((_, position) => position + 1);
  const open = (arm) => go({ strategy: arm.strategy, history: arm.history, seed: arm.seed });
  const rows = index.arms.filter((arm) => dialogue.cells.has(arm.number)).map((arm) => h("tr", null,
    h("th", { scope: "row" }, h("button", { type: "button", click: () => open(arm) }, arm.label)),
    dialogue.cells.get(arm.number).map((cell) => h("td", null, outcomeMark(cell)))));
  return h("details", { class: "arms" }, h("summary", null, `All ${rows.length} arms on this dialogue`),
    h("table", null, h("thead", null, h("tr", null, h("td"), turns.map((turn) => h("th", { scope: "col", class: turn === current ? "current" : "" }, turn)))),
      h("tbody", null, rows)));
}

/* ---- moving about ---- */

function step(by) {
  const here = shown.findIndex((row) => row.dialogue.name === state.dialogue);
  const next = here < 0 ? 0 : Math.min(Math.max(0, here + by), shown.length - 1);
  if (shown[next]) go({ dialogue: shown[next].dialogue.name, turn: "1" });
}

function stepTurn(by) {
  const last = index.byName.get(state.dialogue)?.modalities.length ?? 1;
  go({ turn: String(Math.min(Math.max(1, Number(state.turn) + by), last)) });
}

function toggleBaseline() {
  const base = index.baseline && armOf(index.baseline, state.history, state.seed);
  if (base) go({ beside: state.beside === "" ? String(base.number) : "" });
}

const KEYS = {
  j: () => step(1), k: () => step(-1), ArrowRight: () => stepTurn(1), ArrowLeft: () => stepTurn(-1),
  b: toggleBaseline, "/": () => byId("filters").elements.find.focus(),
};

function onKey(event) {
  const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || byId("large").open) return;
  if (state.view !== "dialogues" || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
}

function render() {
  readAddress();
  for (const view of ["results", "dialogues"]) {
    byId(view).hidden = state.view !== view;
    byId(`to-${view}`).toggleAttribute("aria-current", state.view === view);
  }
  if (!index || state.view !== "dialogues") return;
  renderFilters();
  renderList();
  renderDialogue();
}

async function begin() {
  render();
  if (document.body.dataset.kind !== "study") return;
  while (!byId("index")?.nextElementSibling && document.readyState === "loading") {
    await new Promise((done) => setTimeout(done, 5));
  }
  index = readIndex(await unpack(byId("index").textContent));
  byId("filters").addEventListener("input", (event) => go({ [event.target.name]: event.target.value }));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const view of ["results", "dialogues"]) {
    byId(`to-${view}`).addEventListener("click", (event) => {
      event.preventDefault();
      go({ view });
    });
  }
  byId("list").addEventListener("scroll", onScroll);
  document.addEventListener("keydown", onKey);
  render();
}

addEventListener("hashchange", render);
begin();
