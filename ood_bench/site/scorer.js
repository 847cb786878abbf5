// One scorer on one backbone: its numbers, and what they look like.
const scorerLine = (board) => {
  const inModel = board.lines.filter((line) => fits(line.at));
  const pool = inModel.length ? inModel : board.lines;
  const named = pool.find((line) => line.label === state.scorer) || pool.find((line) => line.scorer === state.scorer);
  if (named) return named;
  const metric = metricsOf(board)[0];
  return sorted(board, pool, columnsOf(board), [metric])[0];
};

const drawScorer = (board) => {
  const line = scorerLine(board);
  if (!line) return [el("p", { class: "frame empty" }, "Nothing is stored for this choice.")];
  const metrics = metricsOf(board), columns = columnsOf(board);
  const [family, paper, summary] = doc.methods[line.scorer] || ["other", "", ""];
  const signs = footnoteSigns();
  const table = asGrid(el("table", { role: "grid", "aria-label": `Numbers of ${line.label}` },
    el("thead", {}, el("tr", {}, el("th", { class: "name", scope: "col" }, "set"), metrics.map((metric) => el("th", { scope: "col", title: metric.meaning }, metric.heading)))),
    el("tbody", {}, columns.map((column) => el("tr", {},
      el("th", { class: "name", scope: "row" }, el("span", {}, column.mean ? `${column.group} mean` : column.title), column.mean ? null : el("span", { class: "soft" }, column.group)),
      metrics.map((metric) => numberCell(line, column, metric, 0, signs.sign)))))),
  (y, x, from) => openSource(board, line, columns[y], metrics[x], from));
  const others = board.lines.filter((each) => each.label === line.label && each !== line);
  const facts = [family, paper, line.version && `version ${line.version}`, line.origin && line.origin !== "ours" && line.origin].filter(Boolean).join(" · ");
  const auroc = metrics.find((metric) => metric.key === "auroc");
  const fpr = metrics.find((metric) => metric.key === `fpr95_${doc.suites[board.suite].fpr}`);
  const sets = line.drawn ? columns.filter((column) => !column.mean && line.drawn.sets[column.set]).map((column) => column) : [];
  const shown = (column, metric) => printed(valueOf(line, column.index, metric), metric);
  const curves = parameterFigures(board, line, chosenMetrics(board)[0]);
  const suite = doc.suites[board.suite];
  return [
    el("h2", {}, line.label, tag(line), ` on ${doc.checkpoints[line.at]}`),
    el("p", { class: "lead" }, facts),
    summary ? el("p", {}, summary) : null,
    line.params !== "{}" ? el("p", { class: "lead" }, "Parameters: ", el("code", {}, line.params)) : null,
    others.length ? el("p", { class: "lead" }, "Also on ", others.map((each, i) => [i ? ", " : "", el("a", { href: link({ model: doc.checkpoints[each.at], scorer: each.label }) }, doc.checkpoints[each.at])])) : null,
    el("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Numbers" }, table),
    legend(metrics, null),
    sets.length ? [
      el("h3", {}, "Scores of ID and OOD samples"),
      el("ul", { class: "keys" },
        el("li", {}, el("span", { class: "swatch", style: { background: "var(--id)", opacity: .6 } }), `ID (${suite.id})`),
        el("li", {}, el("span", { class: "swatch", style: { border: "2px solid var(--ood)" } }), "OOD"),
        el("li", {}, svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, svg("line", { class: "cut", x1: 0, x2: 26, y1: 4, y2: 4 })), "95 % of ID lie to the right"),
        el("li", {}, "each set's bars sum to 100 %; the outermost bins hold what lies beyond")),
      el("div", { class: "panels" }, sets.map((column) => histogramFigure(line, column.set, `${auroc.title} ${shown(column, auroc)}${fpr ? ` · ${fpr.title} ${shown(column, fpr)}` : ""}`))),
      el("p", { class: "legend" }, "The samples in the tail: "), el("pre", {}, el("code", {}, scoresCommand(board, line, sets[0].set))),
    ] : null,
    sets.length || line.risk || curves.length ? [
      el("h3", {}, "Curves"),
      el("div", { class: "pair" },
        sets.length ? rocFigure(line, sets.map((column) => column.set), (name) => shown(sets.find((column) => column.set === name), auroc)) : null,
        line.risk ? riskFigure(line) : null, curves),
    ] : null,
  ];
};
