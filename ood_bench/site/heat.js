// Scorers x backbones, or x sets where one backbone is chosen. One hue, so that lightness alone carries the value.
const LIGHT = [[246, 249, 252], [198, 219, 239], [107, 174, 214], [33, 113, 181], [8, 48, 107]];
const DARK = [[27, 34, 41], [24, 62, 98], [38, 110, 166], [120, 184, 228], [226, 243, 255]];
const tone = (share) => {
  const stops = isDark() ? DARK : LIGHT;
  const x = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(x), stops.length - 2);
  return stops[i].map((low, c) => Math.round(low + (x - i) * (stops[i + 1][c] - low)));
};
const inked = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10161c" : "#fff");
const rgb = (color) => `rgb(${color.join(",")})`;

const heatColumns = (board) => {
  const columns = columnsOf(board);
  const ats = checkpointsOf(board).filter(fits);
  if (ats.length === 1) return columns.map((column) => ({ title: column.mean ? `${column.group} mean` : column.title, at: ats[0], column }));
  const over = columns.find((column) => `${column.group}/${column.set}` === state.over) || summaries(columns)[0] || columns[0];
  return ats.map((at) => ({ title: doc.checkpoints[at], at, column: over }));
};

const heatRows = (board, metric) => {
  const columns = heatColumns(board);
  const byLabel = new Map();
  for (const line of chosenLines(board)) byLabel.set(line.label, (byLabel.get(line.label) || new Map()).set(line.at, line));
  const rows = [...byLabel].map(([label, lines]) => {
    const values = columns.map(({ at, column }) => (lines.has(at) ? valueOf(lines.get(at), column.index, metric) : null));
    const known = values.filter((value) => value !== null);
    return { label, lines, values, known: known.length, mean: known.length ? known.reduce((a, b) => a + b) / known.length : null };
  });
  rows.sort((a, b) => b.known - a.known || byValue(a.mean, b.mean, metric.up !== false) || a.label.localeCompare(b.label));
  return { columns, rows };
};

const drawHeat = (board) => {
  const metric = chosenMetrics(board)[0];
  const { columns, rows } = heatRows(board, metric);
  const one = new Set(columns.map((column) => column.at)).size === 1;
  const values = rows.flatMap((row) => row.values).filter((value) => value !== null).sort((a, b) => a - b);
  const up = metric.up !== false;
  // hopeless scorers must not take all colours for themselves: what lies far below the middle shares the palest
  const [worst, middle, best] = (up ? [0.1, 0.5, 1] : [0.9, 0.5, 0]).map((q) => values[Math.round(q * (values.length - 1))]);
  const palest = up ? Math.max(worst, best - 3 * (best - middle)) : Math.min(worst, best + 3 * (middle - best));
  const share = (value) => (best === palest ? 0.5 : (value - palest) / (best - palest));
  const body = rows.map((row) => el("tr", {},
    el("th", { class: "name", scope: "row" }, scorerLink([...row.lines.values()][0])),
    row.values.map((value, i) => {
      const color = value === null ? null : tone(share(value));
      return el("td", { tabindex: -1, "data-cell": true, class: value === null ? "none" : null,
        title: `${row.label}, ${columns[i].title}`,
        style: color ? { background: rgb(color), color: inked(color) } : null },
      value === null ? "–" : metric.unit === "percent" ? (100 * value).toFixed(1) : value.toFixed(3));
    })));
  const table = asGrid(el("table", { class: "heat", role: "grid", "aria-label": "Heat map" },
    el("thead", {}, el("tr", {}, el("th", { class: "name" }, "scorer"), columns.map((column) => el("th", { scope: "col" }, column.title)))),
    el("tbody", {}, body)),
  (y, x, from) => { const line = rows[y].lines.get(columns[x].at); if (line) openSource(board, line, columns[x].column, metric, from); });
  const stops = [0, 0.25, 0.5, 0.75, 1].map((x) => rgb(tone(x))).join(",");
  const over = columns.length && !one ? ` over ${columns[0].column.mean ? `${columns[0].column.group} (mean of its sets)` : columns[0].column.title}` : "";
  return [
    lead(board, chosenLines(board)),
    values.length ? el("div", { class: "scale" }, el("span", {}, `${up ? "≤" : "≥"} ${printed(palest, metric)}`),
      el("i", { style: { background: `linear-gradient(to right, ${stops})` } }), el("span", {}, printed(best, metric)),
      el("span", {}, `${metric.heading}${over}: ${isDark() ? "brighter" : "darker"} is better`)) : null,
    rows.length && columns.length ? el("div", { class: "frame", tabindex: 0, role: "region", "aria-label": "Heat map" }, table) : el("p", { class: "frame empty" }, "Nothing matches these filters."),
    el("p", { class: "legend" }, metric.unit === "percent" ? "In percent. " : "", `${metric.meaning}. `,
      `Sorted by the mean of the row. ${one ? "Choose all backbones to compare them." : "Choose one backbone to see its sets."}`),
  ];
};
