// The document, and how its packed parts are read.
const doc = JSON.parse(document.getElementById("data").textContent);
const MEAN = "mean";
const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const digit = (sign) => SIGNS.indexOf(sign);

const coarse = (packed) => [...packed].map((sign) => digit(sign) / 63);
const fine = (packed) => {
  const values = [];
  for (let i = 0; i < packed.length; i += 2) values.push((digit(packed[i]) * 64 + digit(packed[i + 1])) / 4095);
  return values;
};
const hash = (place) => {
  if (place < 0) return "";
  const bytes = atob(doc.hashes[place].replace(/-/g, "+").replace(/_/g, "/") + "=");
  return [...bytes].map((sign) => sign.charCodeAt(0).toString(16).padStart(2, "0")).join("");
};
const text = (place) => (place < 0 ? "" : doc.texts[place]);

const metricsOf = (board) => board.metrics.map(([key, title, meaning, up, unit], index) => ({
  key, title, meaning, up, unit, index, heading: title + (up === true ? " ↑" : up === false ? " ↓" : ""),
}));
const printed = (value, metric) => (value === null || value === undefined ? "–"
  : metric.unit === "percent" ? (100 * value).toFixed(2) : value.toFixed(3));
const valueOf = (line, column, metric) => {
  const cell = line.cells[column];
  return cell && cell[0] ? cell[0][metric.index] : null;
};
const familyOf = (line) => (doc.methods[line.scorer] || ["other"])[0];

// A group of one set is its own mean and stands once.
const columnsOf = (board) => {
  const sizes = new Map();
  for (const [group, set] of board.columns) if (set !== MEAN) sizes.set(group, (sizes.get(group) || 0) + 1);
  return board.columns
    .map(([group, set], index) => ({ group, set, index, mean: set === MEAN, alone: sizes.get(group) === 1 }))
    .filter((column) => !(column.mean && column.alone))
    .map((column) => ({ ...column, title: column.mean ? (sizes.has(column.group) ? "mean" : "mean over sets") : column.set }));
};
const summaries = (columns) => columns.filter((column) => column.mean || column.alone);

// For sorting: the mean over groups, null where one is missing.
const merit = (line, columns, metric) => {
  const values = (summaries(columns).length ? summaries(columns) : columns).map((c) => valueOf(line, c.index, metric));
  return values.length && values.every((v) => v !== null) ? values.reduce((a, b) => a + b) / values.length : null;
};
const byValue = (a, b, up) => (a === null ? (b === null ? 0 : 1) : b === null ? -1 : up ? b - a : a - b);
