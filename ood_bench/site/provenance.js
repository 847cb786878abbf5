// Where a number is from: the records, hashes and versions behind it, and how to compute it again.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`);
const modelWords = (line) => {
  const [, model, seed] = /^(.*?)(?:@(\d+))?$/.exec(doc.checkpoints[line.at]);
  return `--model ${quoted(model)}${seed === undefined ? "" : ` --model-seed ${seed}`}`;
};
const runCommand = (board, line) => `ood-bench run --suite ${quoted(doc.suites[board.suite].name)} ${modelWords(line).replace(/ --model-seed.*/, "")} --scorer ${quoted(line.spec)}${board.task === "ood" ? "" : ` --task ${quoted(board.task)}`}`;
const scoresCommand = (board, line, set) => `ood-bench scores --suite ${quoted(doc.suites[board.suite].name)} ${modelWords(line)} --scorer ${quoted(line.spec)} --set ${quoted(set)} --worst 50`;

const facts = (pairs) => el("dl", {}, pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false)
  .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const code = (value) => (value ? el("code", {}, value) : "");

const sourceFacts = (title, [record, scores, bank, list, origin, when]) => [
  el("h3", {}, title),
  facts([
    ["record", code(hash(record))], ["scores sha256", code(hash(scores))], ["bank sha256", code(hash(bank))], ["list sha256", code(hash(list))],
    ["computed", [text(when), origin >= 0 ? ` · ${doc.origins[origin]}` : ""].join("")],
  ])];

const openSource = (board, line, column, metric, from) => {
  const dialog = byId("source");
  const cell = line.cells[column.index] || [0, -1];
  const metrics = metricsOf(board);
  const where = column.mean ? `mean over ${column.group}` : `${column.set} (${column.group})`;
  const members = column.mean ? columnsOf(board).filter((each) => each.group === column.group && !each.mean) : [];
  const inputs = Object.entries(line.inputs || {});
  const suite = doc.suites[board.suite];
  const sources = cell[0] && !column.mean ? (board.task === "ood"
    ? [sourceFacts(`ID scores: ${suite.id}`, line.id), sourceFacts(`OOD scores: ${column.set}`, cell[4])]
    : [el("h3", {}, "Rests on"), facts([["inputs sha256", code(hash(cell[4][0]))], ["scores sha256", code(hash(cell[4][1]))], ["computed", text(cell[4][2])]])]) : [];
  dialog.replaceChildren(...flat([
    el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "✕"),
    el("h2", { id: "source-title" }, `${line.label} · ${doc.checkpoints[line.at]} · ${where}`),
    el("p", { class: "lead" }, [suite.title || suite.name, board.title, cell[2] && `${cell[2].toLocaleString("en")} rows`].filter(Boolean).join(" · ")),
    cell[0] ? el("div", { class: "figures" }, metrics.map((each) => el("div", { class: each.key === metric.key ? "chosen" : null, title: each.meaning },
      el("small", {}, each.heading), el("strong", {}, printed(cell[0][each.index], each)),
      cell[5] && cell[5][each.index] ? el("small", {}, `95 %: ${printed(cell[5][each.index][0], each)}–${printed(cell[5][each.index][1], each)}`) : null))) : null,
    text(cell[1]) ? el("p", { class: "note" }, (cell[0] ? "" : "There is no number: ") + text(cell[1])) : null,
    el("p", { class: "legend" }, `${metric.meaning}.`),
    members.length ? [el("h3", {}, "Unweighted mean over"), el("div", { class: "members" }, members.map((each) => el("button", { type: "button",
      onclick: () => openSource(board, line, each, metric, from) }, `${each.title} ${printed(valueOf(line, each.index, metric), metric)}`)))] : null,
    sources,
    el("h3", {}, "Scorer"),
    facts([
      ["as typed", code(line.spec)], ["parameters", code(line.params === "{}" ? "" : line.params)], ["learned", code(line.learned)],
      ["version", line.version], ["origin", line.origin], ["profile", line.profile], ["tuned on", line.tuned_on],
      ["seed", line.seed === undefined ? "" : String(line.seed)], ["precision", line.precision], ["fitted on", line.fit_split],
      ...inputs.map(([name, place]) => [name === "head" ? "head sha256" : name === "plugin" ? "plug-in sha256" : `${name} bank sha256`, code(hash(place))]),
      ["seconds", [line.fit_seconds !== undefined && `fit ${line.fit_seconds}`, cell[3] && `scores ${cell[3]}`].filter(Boolean).join(", ")],
    ]),
    el("h3", {}, "Again"),
    el("pre", {}, el("code", {}, runCommand(board, line))),
    column.mean || board.task !== "ood" ? "" : el("pre", {}, el("code", {}, scoresCommand(board, line, column.set))),
    el("p", {}, el("a", { href: link({ view: "scorer", scorer: line.label, model: doc.checkpoints[line.at] }), onclick: () => dialog.close() }, "Histograms and curves of this scorer")),
  ]));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  dialog.onclose = () => { if (from && from.isConnected) from.focus(); };
};
