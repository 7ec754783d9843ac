/* Moving about: keys, addresses, and the beginning of it all. */

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
