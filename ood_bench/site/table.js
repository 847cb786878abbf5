// The leaderboard. Cells form a grid: arrow keys move, Enter opens where a number is from.
const shownColumns = (board) => {
  const columns = columnsOf(board);
  return state.sets === "means" && summaries(columns).length ? summaries(columns) : columns;
};

// Best and second best of each column among the lines of one backbone, by what is printed: equal print, equal rank.
const ranks = (lines, columns, metrics) => {
  const found = new Map();
  for (const at of new Set(lines.map((line) => line.at))) {
    for (const column of columns) for (const metric of metrics) {
      if (metric.up === null) continue;
      const own = lines.filter((line) => line.at === at)
        .map((line) => [line, valueOf(line, column.index, metric)]).filter(([, value]) => value !== null);
      const distinct = [...new Set(own.map(([, value]) => +printed(value, metric)))].sort((a, b) => (metric.up ? b - a : a - b));
      if (distinct.length < 2) continue;
      for (const [line, value] of own) {
        const place = distinct.indexOf(+printed(value, metric));
        if (place < 2) found.set(`${board_key(line)} ${column.index} ${metric.index}`, place + 1);
      }
    }
  }
  return found;
};
const numbers = new WeakMap();
let counted = 0;
const board_key = (line) => { if (!numbers.has(line)) numbers.set(line, counted++); return numbers.get(line); };

const sorted = (board, lines, columns, metrics) => {
  const metric = metrics.find((m) => state.sort.endsWith(`:${m.key}`)) || metrics[0];
  const column = columns.find((c) => state.sort === `${c.group}/${c.set}:${metric.key}`);
  const all = columnsOf(board);
  const value = column ? (line) => valueOf(line, column.index, metric) : (line) => merit(line, all, metrics[0]);
  const up = (column ? metric : metrics[0]).up !== false;
  const best = state.dir === "worst" ? !up : up;
  if (state.sort === "name") {
    const sign = state.dir === "worst" ? -1 : 1;
    return [...lines].sort((a, b) => sign * a.label.localeCompare(b.label) || a.at - b.at);
  }
  return [...lines].sort((a, b) => byValue(value(a), value(b), best) || a.label.localeCompare(b.label) || a.at - b.at);
};

const numberCell = (line, column, metric, rank, signs) => {
  const cell = line.cells[column.index] || [0, -1];
  const value = cell[0] ? cell[0][metric.index] : null;
  const bounds = state.ci && cell[5] && cell[5][metric.index];
  const reason = text(cell[1]);
  const classes = [column.mean && "mean", rank === 1 && "best", rank === 2 && "second", value === null && "none"];
  return el("td", {
    class: classes.filter(Boolean).join(" ") || null, tabindex: -1, "data-cell": true, title: reason || null,
    "aria-label": rank ? `${printed(value, metric)}, ${rank === 1 ? "best" : "second best"}` : null,
  }, printed(value, metric), value !== null && reason ? el("sup", {}, signs(reason)) : null,
  bounds ? el("small", {}, `${printed(bounds[0], metric)}–${printed(bounds[1], metric)}`) : null);
};

const footnoteSigns = () => {
  const known = new Map();
  const letters = (n) => (n >= 26 ? letters(Math.floor(n / 26) - 1) : "") + "abcdefghijklmnopqrstuvwxyz"[n % 26];
  const sign = (reason) => { if (!known.has(reason)) known.set(reason, letters(known.size)); return known.get(reason); };
  return { sign, known };
};

const heads = (columns, metrics, many) => {
  const spans = [];
  for (const column of columns) {
    if (spans.length && spans.at(-1).group === column.group) spans.at(-1).columns.push(column);
    else spans.push({ group: column.group, columns: [column] });
  }
  const sortButton = (column, metric) => {
    const key = `${column.group}/${column.set}:${metric.key}`;
    const on = state.sort === key;
    return el("th", { scope: "col", class: starts(columns, column) && metric === metrics[0] ? "first" : null,
      "aria-sort": on ? ((state.dir === "worst") === (metric.up !== false) ? "ascending" : "descending") : null },
    el("button", { type: "button", "data-sort": key, "data-on": on,
      title: `${metric.meaning}. Sort by it on ${column.title} of ${column.group}.`,
      onclick: () => go({ sort: key, dir: on && !state.dir ? "worst" : "" }) },
    metric.heading + (on ? (state.dir === "worst" ? " ▴" : " ▾") : "")));
  };
  const byName = state.sort === "name";
  return el("thead", {},
    el("tr", {}, el("th", { class: "name" }), many ? el("th", {}) : null,
      spans.map((span) => el("th", { class: "group", scope: "colgroup", colspan: span.columns.length * metrics.length }, span.group))),
    el("tr", {}, el("th", { class: "name" }), many ? el("th", {}) : null,
      columns.map((column) => el("th", { class: starts(columns, column) ? "set first" : "set", colspan: metrics.length, scope: "colgroup" }, column.title))),
    el("tr", {},
      el("th", { class: "name", scope: "col", "aria-sort": byName ? (state.dir ? "descending" : "ascending") : null },
        el("button", { type: "button", "data-sort": "name", "data-on": byName,
          onclick: () => go({ sort: "name", dir: byName && !state.dir ? "worst" : "" }) }, "scorer" + (byName ? (state.dir ? " ▴" : " ▾") : ""))),
      many ? el("th", { scope: "col" }, "backbone") : null,
      columns.map((column) => metrics.map((metric) => sortButton(column, metric)))));
};
const starts = (columns, column) => columns.find((each) => each.group === column.group) === column;

const tag = (line) => (line.origin && line.origin !== "ours" ? el("span", { class: "tag" }, line.origin) : null);
const scorerLink = (line) => el("a", { title: line.label,
  href: link({ view: "scorer", scorer: line.label, model: doc.checkpoints[line.at] }) }, el("span", {}, line.label));

// What every table of numbers shares: moving by arrow keys, and the way to a number's source.
const asGrid = (table, sourceOf) => {
  const cells = (row) => [...row.querySelectorAll("[data-cell]")];
  const rows = [...table.querySelectorAll("tbody tr")].map(cells).filter((row) => row.length);
  if (rows.length) rows[0][0].tabIndex = 0;
  const where = (cell) => {
    const y = rows.findIndex((row) => row.includes(cell));
    return [y, y < 0 ? -1 : rows[y].indexOf(cell)];
  };
  const open = (cell) => { const [y, x] = where(cell); if (y >= 0) sourceOf(y, x, cell); };
  table.addEventListener("click", (event) => { const cell = event.target.closest("[data-cell]"); if (cell) open(cell); });
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("[data-cell]");
    if (!cell) return;
    const [y, x] = where(cell);
    const moves = { ArrowUp: [y - 1, x], ArrowDown: [y + 1, x], ArrowLeft: [y, x - 1], ArrowRight: [y, x + 1],
      Home: [y, 0], End: [y, rows[y].length - 1], PageUp: [Math.max(0, y - 10), x], PageDown: [Math.min(rows.length - 1, y + 10), x] };
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(cell); return; }
    const move = moves[event.key];
    const target = move && rows[move[0]] && rows[move[0]][move[1]];
    if (move) event.preventDefault();
    if (target) { cell.tabIndex = -1; target.tabIndex = 0; target.focus(); }
  });
  return table;
};

const drawTable = (board) => {
  const metrics = chosenMetrics(board);
  const columns = shownColumns(board);
  const lines = sorted(board, chosenLines(board), columns, metrics);
  const many = new Set(lines.map((line) => line.at)).size > 1;
  const rank = ranks(lines, columns, metrics);
  const signs = footnoteSigns();
  const rows = lines.map((line, index) => el("tr", {},
    el("th", { class: "name", scope: "row" }, el("span", { class: "place" }, String(index + 1)), scorerLink(line), tag(line)),
    many ? el("td", { class: "text" }, doc.checkpoints[line.at]) : null,
    columns.map((column) => metrics.map((metric, i) => {
      const cell = numberCell(line, column, metric, rank.get(`${board_key(line)} ${column.index} ${metric.index}`), signs.sign);
      if (i === 0 && starts(columns, column)) cell.classList.add("first");
      return cell;
    }))));
  const table = asGrid(
    el("table", { role: "grid", "aria-label": `${board.title}, ${doc.suites[board.suite].name}` }, heads(columns, metrics, many), el("tbody", {}, rows)),
    (y, x, from) => openSource(board, lines[y], columns[Math.floor(x / metrics.length)], metrics[x % metrics.length], from));
  const missing = reasonsOf(lines, columns);
  say(`${lines.length} lines`);
  return [
    lead(board, lines),
    lines.length ? el("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Leaderboard" }, table) : el("p", { class: "frame empty" }, "Nothing matches these filters."),
    legend(metrics, many),
    signs.known.size ? el("details", {}, el("summary", {}, `${signs.known.size} ${signs.known.size > 1 ? "marks" : "mark"} on numbers`),
      el("ul", {}, [...signs.known].map(([reason, sign]) => el("li", {}, el("b", {}, `${sign} `), reason)))) : null,
    missing.length ? el("details", {}, el("summary", {}, `What has no number, and why (${missing.length})`),
      el("ul", {}, missing.map(([reason, names]) => el("li", {}, `${names.join(", ")}: ${reason}`)))) : null,
    board.notes.length ? el("details", {}, el("summary", {}, "Notes"), el("ul", {}, board.notes.map((note) => el("li", {}, note)))) : null,
  ];
};

const reasonsOf = (lines, columns) => {
  const found = new Map();
  for (const line of lines) for (const column of columns) {
    const cell = line.cells[column.index];
    if (!cell || cell[0] || cell[1] < 0 || (column.mean && !column.alone && columns.length > summaries(columns).length)) continue;
    const names = found.get(text(cell[1])) || found.set(text(cell[1]), new Set()).get(text(cell[1]));
    names.add(line.label);
  }
  return [...found].map(([reason, names]) => [reason, [...names]]);
};

const lead = (board, lines) => {
  const suite = doc.suites[board.suite];
  const ats = [...new Set(lines.map((line) => line.at))];
  const accuracy = ats.length === 1 && lines.find((line) => line.accuracy !== null && line.accuracy !== undefined);
  const parts = [
    suite.protocol && suite.protocol !== suite.name && suite.protocol, suite.paper,
    ats.length === 1 ? doc.checkpoints[ats[0]] : ats.length ? `${ats.length} backbones` : null,
    accuracy ? `ID accuracy ${(100 * accuracy.accuracy).toFixed(2)} %` : null,
    suite.id && `ID test set ${suite.id}${suite.counts[suite.id] ? ` (${suite.counts[suite.id].toLocaleString("en")})` : ""}`,
    `${lines.length} ${lines.length === 1 ? "line" : "lines"}`,
  ].filter(Boolean);
  return [el("h2", {}, suite.title || suite.name, board.title === "OOD detection" ? "" : ` · ${board.title}`), el("p", { class: "lead" }, parts.join(" · "))];
};

const legend = (metrics, many) => el("p", { class: "legend" },
  metrics.some((metric) => metric.unit === "percent") ? "In percent. " : "",
  metrics.map((metric) => `${metric.meaning}; ${metric.up === true ? "higher is better" : metric.up === false ? "lower is better" : "no direction"}. `),
  many === null ? "" : [el("b", {}, "Bold"), ": best, ", el("u", {}, "underlined"), `: second best of what is shown${many ? ", per backbone" : ""}. `],
  state.ci ? "Small: 95 % confidence interval. " : "",
  "Select a number to see the records it comes from.");
