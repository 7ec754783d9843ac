/* The list of dialogues and the filters above it. */

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
