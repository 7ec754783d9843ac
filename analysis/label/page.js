/* Labelling: one image at a time, blind to what drew it. */

let items = [];
let grades = {};
let current = 0;
let memory = "labels";

const pointsOf = (item) => (item.points.length ? item.points : ["How well does the last image do what was asked?"]);
const isDone = (item) => pointsOf(item).every((_, point) => grades[item.item]?.[point] !== undefined);

/* A browser may forbid a page from a file to remember: then grades last as long as the page is open. */
function remember() {
  try {
    localStorage.setItem(memory, JSON.stringify(grades));
  } catch {
    byId("count").title = "This browser keeps nothing: export before you close the page.";
  }
}

function recall() {
  try {
    grades = JSON.parse(localStorage.getItem(memory)) ?? {};
  } catch {
    grades = {};
  }
}

function part(value, alt) {
  if (!value) return h("p", { class: "muted" }, "no answer");
  return value.image === undefined ? h("p", null, value.text ?? "") : picture(value.image, "images", alt);
}

function renderDialogue({ turns }) {
  const last = turns.length - 1;
  byId("dialogue").replaceChildren(...turns.flatMap(({ asked, answer }, turn) => [
    h("div", { class: "user" }, asked.map((p) => part(p, `image of question ${turn + 1}`))),
    h("div", { class: turn === last ? "assistant target" : "assistant" }, part(answer, turn === last ? "the image to grade" : `answer ${turn + 1}`)),
  ]));
  const target = byId("dialogue").lastElementChild;
  const bringUp = () => target.scrollIntoView({ block: "end" });
  target.querySelector("img")?.addEventListener("load", bringUp);
  bringUp();
}

function grade(item, point, value) {
  (grades[item.item] ??= {})[point] = value;
  remember();
  renderProgress();
}

function scale(item, point) {
  const choice = (value) => h("label", null, String(value), h("input", {
    type: "radio", name: `point-${point}`, value, checked: grades[item.item]?.[point] === value,
    "aria-label": `${value} of 5`, change: () => grade(item, point, value),
  }));
  return h("div", { class: "scale" }, [0, 1, 2, 3, 4, 5].map(choice));
}

function renderGrades(item) {
  const points = pointsOf(item);
  byId("grades").replaceChildren(
    h("h2", null, `Image ${current + 1} of ${items.length}`),
    ...points.map((text, point) => h("fieldset", { tabindex: "-1", "data-point": point },
      h("legend", null, `Point ${point + 1} of ${points.length}`), h("p", null, text), scale(item, point))),
    h("div", { class: "move" },
      h("button", { type: "button", click: () => show(current - 1) }, "← back"),
      h("button", { type: "button", click: () => show(current + 1) }, "next →")));
}

function renderProgress() {
  const done = items.filter(isDone).length;
  byId("progress").value = done;
  byId("count").textContent = `${done} of ${items.length} labelled`;
}

function focusPoint(point) {
  byId("grades").querySelector(`[data-point="${point}"]`)?.focus({ preventScroll: true });
}

function show(position) {
  current = Math.min(Math.max(0, position), items.length - 1);
  const item = items[current];
  renderDialogue(item);
  renderGrades(item);
  renderProgress();
  const open = pointsOf(item).findIndex((_, point) => grades[item.item]?.[point] === undefined);
  focusPoint(Math.max(0, open));
}

const focusedPoint = () => Number(document.activeElement?.closest("[data-point]")?.dataset.point ?? 0);

function press(value) {
  const point = focusedPoint();
  const item = items[current];
  grade(item, point, value);
  renderGrades(item);
  focusPoint(Math.min(point + 1, pointsOf(item).length - 1));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = {
    ArrowRight: () => show(current + 1), ArrowLeft: () => show(current - 1),
    ArrowDown: () => focusPoint(focusedPoint() + 1), ArrowUp: () => focusPoint(focusedPoint() - 1),
  };
  const action = moves[event.key] ?? (/^[0-5]$/.test(event.key) && (() => press(Number(event.key))));
  if (!action) return;
  event.preventDefault();
  action();
}

/** Wholly graded items, one line for each point. */
function toCsv() {
  const lines = items.filter(isDone).flatMap((item) =>
    pointsOf(item).map((_, point) => `${item.item},${point + 1},${grades[item.item][point]}`));
  return ["item,point,score", ...lines, ""].join("\n");
}

function download() {
  const address = URL.createObjectURL(new Blob([toCsv()], { type: "text/csv" }));
  h("a", { href: address, download: "labels.csv" }).click();
  URL.revokeObjectURL(address);
}

addEventListener("DOMContentLoaded", async () => {
  items = await unpack(byId("items").textContent);
  memory = `labels-${items.map((item) => item.item).join("").slice(0, 40)}`;
  recall();
  byId("export").addEventListener("click", download);
  document.addEventListener("keydown", onKey);
  show(Math.max(0, items.findIndex((item) => !isDone(item))));
});
