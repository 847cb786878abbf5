// What is shown, as the part of the address behind the #. Defaults are left out, so that links stay short.
const DEFAULTS = {
  view: "table", suite: doc.suites[doc.boards[0].suite].name, task: "", model: "", family: "", metric: "", sets: "",
  sort: "", dir: "", q: "", over: "", scorer: "", ci: "",
};
const read = (fragment) => {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  return Object.fromEntries(Object.keys(DEFAULTS).map((key) => [key, given.get(key) ?? DEFAULTS[key]]));
};
const link = (changes) => {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...state, ...changes })) if (value !== DEFAULTS[key]) words.set(key, value);
  return `#${words}`;
};
let state = read(location.hash);

// A change of view can be gone back from; turning a knob replaces the entry.
const go = (changes, { remember = false } = {}) => {
  const target = link(changes);
  history[remember ? "pushState" : "replaceState"](null, "", target === "#" ? location.pathname + location.search : target);
  state = read(location.hash);
  render();
};

const boardsOf = (suite) => doc.boards.filter((board) => doc.suites[board.suite].name === suite);
const currentBoard = () => {
  const own = boardsOf(state.suite);
  const found = own.length ? own : doc.boards;
  return found.find((board) => board.task === state.task) || found[0];
};
const metricChoices = (board) => {
  const metrics = metricsOf(board);
  const primary = board.primary.map((key) => metrics.find((metric) => metric.key === key)).filter(Boolean);
  const both = primary.length > 1 ? [{ key: primary.map((m) => m.key).join("+"), list: primary }] : [];
  const alone = metrics.map((metric) => ({ key: metric.key, list: [metric] }));
  return [alone.find((choice) => choice.key === board.primary[0]), ...both, ...alone.filter((choice) => choice.key !== board.primary[0])].filter(Boolean);
};
const chosenMetrics = (board) => {
  const choices = metricChoices(board);
  return (choices.find((choice) => choice.key === state.metric) || choices[0]).list;
};
const checkpointsOf = (board) => [...new Set(board.lines.map((line) => line.at))];
const fits = (at) => !state.model || doc.checkpoints[at] === state.model || `family:${doc.families[at]}` === state.model;
const chosenLines = (board) => {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  return board.lines.filter((line) => fits(line.at) && (!state.family || familyOf(line) === state.family)
    && words.every((word) => `${line.label} ${doc.checkpoints[line.at]}`.toLowerCase().includes(word)));
};
