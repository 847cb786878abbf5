// What is shown, as CSV: shares in [0, 1]; no cell that a spreadsheet would take for a formula.
const csvCell = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return value.toFixed(6);
  const safe = /^[=+\-@\t\r']/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
};
const toCsv = (rows) => rows.map((row) => row.map(csvCell).join(",") + "\r\n").join("");
const where = (column) => (column.mean ? `${column.group} mean` : `${column.group}/${column.set}`);

const shownRows = (board) => {
  const suite = doc.suites[board.suite].name;
  const metrics = chosenMetrics(board);
  if (state.view === "heat") {
    const { columns, rows } = heatRows(board, metrics[0]);
    return [["suite", "task", "scorer", ...columns.map((c) => `${c.title}: ${metrics[0].key} ${where(c.column)}`)],
      ...rows.map((row) => [suite, board.task, row.label, ...row.values])];
  }
  if (state.view === "scorer") {
    const line = scorerLine(board), all = metricsOf(board);
    return [["suite", "task", "backbone", "scorer", "params", "group", "set", ...all.map((metric) => metric.key)],
      ...columnsOf(board).map((c) => [suite, board.task, doc.checkpoints[line.at], line.label, line.params, c.group, c.set, ...all.map((metric) => valueOf(line, c.index, metric))])];
  }
  const columns = shownColumns(board);
  return [["suite", "task", "backbone", "scorer", "params", ...columns.flatMap((c) => metrics.map((metric) => `${metric.key} ${where(c)}`))],
    ...sorted(board, chosenLines(board), columns, metrics).map((line) => [suite, board.task, doc.checkpoints[line.at], line.label, line.params,
      ...columns.flatMap((c) => metrics.map((metric) => valueOf(line, c.index, metric)))])];
};
const downloadCsv = () => {
  const board = currentBoard();
  const address = URL.createObjectURL(new Blob([toCsv(shownRows(board))], { type: "text/csv" }));
  const name = `${doc.suites[board.suite].name}-${board.task}-${state.view}.csv`.replace(/[^\w.-]+/g, "_");
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
};
