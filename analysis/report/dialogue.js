/* One dialogue: all turns at a glance, then one turn with everything that was considered. */

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
  const pieces = arm.strategy.split(/(?<=[+_.=])/).flatMap((piece) => [piece, h("wbr")]);
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
