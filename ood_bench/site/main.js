// Controls, theme, and drawing what the address says.
const VIEWS = { table: ["Leaderboard", drawTable], heat: ["Heat map", drawHeat], scorer: ["Scorer", drawScorer] };

const stored = { get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  set: (value) => { try { localStorage.setItem("theme", value); } catch { /* a page without storage forgets */ } } };
const system = matchMedia("(prefers-color-scheme: dark)");
const theme = () => stored.get() || "auto";
let chosenTheme = theme();
const isDark = () => (chosenTheme === "auto" ? system.matches : chosenTheme === "dark");
const applyTheme = () => {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  const button = byId("theme");
  button.replaceChildren(el("span", { class: "wide" }, "Theme: "), chosenTheme);
  button.title = "Colours: as the system has them, light, or dark";
};

const choice = (label, key, options, current) => {
  const select = el("select", { "data-key": key, onchange: (event) => go({ [key]: event.target.value, ...resets[key] }) },
    options.map((option) => (option.group ? el("optgroup", { label: option.group }, option.options.map(([value, name]) => el("option", { value, selected: value === current }, name)))
      : el("option", { value: option[0], selected: option[0] === current }, option[1]))));
  return el("label", {}, label, select);
};
const resets = { suite: { task: "", model: "", family: "", sort: "", dir: "", over: "", metric: "" }, task: { metric: "", sort: "", dir: "", over: "" }, metric: { sort: "", dir: "" } };

const controls = (board) => {
  const suites = [...new Set(doc.boards.map((each) => doc.suites[each.suite].name))];
  const tasks = boardsOf(doc.suites[board.suite].name);
  const ats = checkpointsOf(board);
  const families = [...new Set(ats.map((at) => doc.families[at]))].sort();
  const scorerFamilies = [...new Set(board.lines.map(familyOf))].sort();
  const metrics = metricChoices(board);
  const columns = columnsOf(board);
  const view = state.view;
  const modelOptions = [...(view === "scorer" ? [] : [["", "all backbones"]]), ...ats.map((at) => [doc.checkpoints[at], doc.checkpoints[at]])];
  const line = view === "scorer" ? scorerLine(board) : null;
  const perModel = line ? board.lines.filter((each) => each.at === line.at) : [];
  const hasIntervals = board.lines.some((each) => each.cells.some((cell) => cell[5] && cell[5].length));
  return [
    choice("Suite", "suite", suites.map((name) => [name, name]), doc.suites[board.suite].name),
    tasks.length > 1 ? choice("Task", "task", tasks.map((each, i) => [i ? each.task : "", each.title]), board === tasks[0] ? "" : board.task) : null,
    choice("Backbone", "model", view !== "scorer" && families.length > 1 && ats.length > families.length
      ? [...modelOptions.slice(0, 1), { group: "Families", options: families.map((name) => [`family:${name}`, `all ${name}`]) }, { group: "Backbones", options: modelOptions.slice(1) }]
      : modelOptions, line ? doc.checkpoints[line.at] : state.model),
    line ? choice("Scorer", "scorer", perModel.map((each) => [each.label, each.label]).sort((a, b) => a[0].localeCompare(b[0])), line.label) : null,
    view !== "scorer" && scorerFamilies.length > 1 ? choice("Scorer family", "family", [["", "all families"], ...scorerFamilies.map((name) => [name, name])], state.family) : null,
    choice("Metric", "metric", metrics.map(({ key, list }, i) => [i ? key : "", list.map((metric) => metric.heading).join(" and ")])
      .filter(([key]) => view === "table" || !key.includes("+")), state.metric),
    view === "heat" && ats.filter(fits).length > 1 ? choice("Over", "over", columns.map((c) => [`${c.group}/${c.set}`, c.mean ? `${c.group} mean` : c.title]),
      state.over || ((c) => (c ? `${c.group}/${c.set}` : ""))(summaries(columns)[0] || columns[0])) : null,
    view === "table" && columns.length > summaries(columns).length && summaries(columns).length ? choice("Columns", "sets", [["", "sets and means"], ["means", "means only"]], state.sets) : null,
    view !== "scorer" ? el("label", {}, "Search", el("input", { type: "search", value: state.q, placeholder: "name", "data-key": "q", "aria-keyshortcuts": "/",
      oninput: (event) => go({ q: event.target.value }) })) : null,
    view !== "heat" && hasIntervals ? el("label", { class: "tick" }, el("input", { type: "checkbox", checked: state.ci === "1", "data-key": "ci",
      onchange: (event) => go({ ci: event.target.checked ? "1" : "" }) }), "intervals") : null,
  ];
};

let drawnControls = "";
const render = () => {
  const board = currentBoard();
  const view = VIEWS[state.view] ? state.view : "table";
  const focus = document.activeElement, key = focus && focus.dataset ? focus.dataset.key || focus.dataset.sort : null;
  const caret = focus && focus.type === "search" ? focus.selectionStart : null;
  const scrolled = document.querySelector(".frame") ? document.querySelector(".frame").scrollLeft : 0;
  byId("views").replaceChildren(...Object.entries(VIEWS).map(([name, [title]]) => el("a", { href: link({ view: name }), "aria-current": name === view ? "page" : null }, title)));
  byId("controls").replaceChildren(...flat(controls(board)));
  byId("main").replaceChildren(...flat(VIEWS[view][1](board)));
  if (document.querySelector(".frame")) document.querySelector(".frame").scrollLeft = scrolled;
  if (key) {
    const again = [...document.querySelectorAll("[data-key], [data-sort]")].find((node) => (node.dataset.key || node.dataset.sort) === key);
    if (again) { again.focus({ preventScroll: true }); if (caret !== null) again.setSelectionRange(caret, caret); }
  }
};

byId("theme").addEventListener("click", () => {
  const order = ["auto", "light", "dark"];
  chosenTheme = order[(order.indexOf(chosenTheme) + 1) % 3];
  stored.set(chosenTheme); applyTheme(); render();
});
system.addEventListener("change", () => { applyTheme(); render(); });
byId("csv").addEventListener("click", downloadCsv);
byId("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText(location.href); say("Link copied"); byId("copy").textContent = "Copied"; } catch { byId("copy").textContent = "See address"; }
  setTimeout(() => { byId("copy").textContent = "Copy link"; }, 1500);
});
byId("skip").addEventListener("click", () => byId("main").focus());
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("source").addEventListener("click", (event) => { if (event.target === byId("source")) byId("source").close(); });
addEventListener("hashchange", () => { state = read(location.hash); byId("source").close(); render(); });
addEventListener("popstate", () => { state = read(location.hash); render(); });
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const search = document.querySelector("input[type=search]");
  if (search) { event.preventDefault(); search.focus(); }
});
byId("foot").append(`Made by ood-bench ${doc.program} on ${doc.time.slice(0, 16).replace("T", " ")} UTC from stored scores. Score: higher is more in-distribution. FPR95 is never shown without its orientation: “ID+” is the share of OOD accepted with 95 % of ID kept, “OOD+” the share of ID rejected with 95 % of OOD caught.`);
applyTheme();
render();
