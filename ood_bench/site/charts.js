// Small pictures as SVG. Lines differ in colour and in dash, areas in colour and in outline.
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 3", "6 2 1 2 1 2"];
const stroke = (i) => ({ stroke: `var(--s${i % 8})`, strokeDasharray: DASHES[i % DASHES.length] || "none" });
const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
const short = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(1) : String(+value.toPrecision(4)));

const histogramFigure = (line, name, caption) => {
  const { edges, threshold, id, sets } = line.drawn;
  const inside = coarse(id[1]).map((v) => v * id[0]), outside = coarse(sets[name][1]).map((v) => v * sets[name][0]);
  const W = 320, H = 108, top = Math.max(id[0], sets[name][0]);
  const steps = (bars) => {
    const points = [[0, H]];
    bars.forEach((bar, i) => points.push([(W * i) / bars.length, H - (H * bar) / top], [(W * (i + 1)) / bars.length, H - (H * bar) / top]));
    return path([...points, [W, H]]);
  };
  const cut = (W * (threshold - edges[0])) / (edges[1] - edges[0]);
  const drawing = svg("svg", { viewBox: `0 -6 ${W} ${H + 22}`, role: "img", "aria-label": `Histogram of ${line.label}: ID and ${name}` },
    svg("path", { class: "id", d: `${steps(inside)}Z` }), svg("path", { class: "ood", d: `${steps(outside)}Z` }),
    svg("path", { class: "ood-line", d: steps(outside) }),
    cut >= 0 && cut <= W ? svg("line", { class: "cut", x1: cut, x2: cut, y1: -4, y2: H }) : null,
    svg("line", { class: "axis", x1: 0, x2: W, y1: H, y2: H }),
    svg("text", { x: 0, y: H + 13 }, short(edges[0])), svg("text", { x: W, y: H + 13, "text-anchor": "end" }, short(edges[1])),
    svg("text", { x: W / 2, y: H + 13, "text-anchor": "middle" }, "score →"));
  return el("figure", { "data-figure": "histogram" }, el("figcaption", {}, el("b", {}, name), el("span", {}, caption)), drawing);
};

// Lines over axes that span `xs` and `ys`; `lines`: [{name, points: [[x, y]]}], with the style `base` where it is no result.
const lineFigure = (title, note, lines, { xs = [0, 0.25, 0.5, 0.75, 1], ys = xs, xTitle, yTitle, xText, yText, label, dots = false }) => {
  const W = 360, H = 250, L = 46, B = 34;
  const x = (v) => L + (W - L - 6) * ((v - xs[0]) / (xs.at(-1) - xs[0] || 1)), y = (v) => H - B - (H - B - 6) * ((v - ys[0]) / (ys.at(-1) - ys[0] || 1));
  const drawing = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label },
    ys.map((v) => [svg("line", { class: "grid", x1: L, x2: W - 6, y1: y(v), y2: y(v) }), svg("text", { x: L - 5, y: y(v) + 3, "text-anchor": "end" }, yText(v))]),
    xs.map((v) => svg("text", { x: x(v), y: H - B + 14, "text-anchor": "middle" }, xText(v))),
    svg("line", { class: "axis", x1: L, x2: W - 6, y1: H - B, y2: H - B }),
    svg("text", { x: (L + W) / 2, y: H - 4, "text-anchor": "middle" }, xTitle),
    svg("text", { x: 0, y: 0, transform: `translate(9 ${(H - B) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle),
    lines.map((each, i) => [
      svg("path", { class: each.base ? "base" : "curve", d: path(each.points.map(([a, b]) => [x(a), y(b)])), style: each.base ? each.base : stroke(i) }),
      dots && !each.base ? each.points.map(([a, b, now]) => svg("circle", { cx: x(a), cy: y(b), r: now ? 4.5 : 2.6, class: now ? "now" : null, style: { fill: `var(--s${i % 8})` } })) : null]));
  const keys = el("ul", { class: "keys" }, lines.map((each, i) => el("li", {},
    svg("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, svg("line", { class: each.base ? "base" : "curve", x1: 0, x2: 26, y1: 4, y2: 4, style: each.base ? each.base : stroke(i) })),
    each.name)));
  return el("figure", { "data-figure": title }, el("figcaption", {}, el("b", {}, title), el("span", {}, note)), drawing, keys);
};
const percentText = (v) => String(+(100 * v).toPrecision(3));

const rocFigure = (line, sets, value) => lineFigure("ROC", "ID positive", [
  ...sets.map((name) => ({ name: `${name} ${value(name)}`, points: [[0, 0], ...fine(line.drawn.sets[name][2]).map((y, i) => [doc.rocX[i], y])] })),
  { name: "chance", base: {}, points: [[0, 0], [1, 1]] },
], { xTitle: "OOD accepted, %", yTitle: "ID kept, %", xText: percentText, yText: percentText, label: `ROC curves of ${line.label}` });

const riskFigure = (line) => {
  const [largest, error, packed] = line.risk;
  const risks = fine(packed).map((v) => v * largest);
  const best = [...doc.riskX.filter((c) => c < 1 - error), 1 - error, 1].map((c) => [c, c > 1 - error ? error : 0]);
  const top = niceTop(Math.max(largest, error));
  return lineFigure("Risk-coverage", `ID test set, ${(100 * error).toFixed(2)} % wrong`, [
    { name: line.label, points: risks.map((r, i) => [doc.riskX[i], r]) },
    { name: "random order", base: {}, points: [[0, error], [1, error]] },
    { name: "best possible", base: { strokeDasharray: "none", strokeWidth: "1" }, points: best },
  ], { ys: [0, 0.25, 0.5, 0.75, 1].map((v) => v * top), xTitle: "coverage: share accepted, %", yTitle: "wrong among accepted, %", xText: percentText, yText: percentText, label: `Risk-coverage curve of ${line.label}` });
};
const niceTop = (value) => { const unit = 10 ** Math.floor(Math.log10(value || 1e-4)); return [1, 2, 4, 5, 8, 10].find((k) => k * unit >= value) * unit; };

// One curve for each parameter that takes several values while the others stay.
const parameterFigures = (board, line, metric) => {
  const own = JSON.parse(line.params);
  const siblings = board.lines.filter((each) => each.scorer === line.scorer && each.at === line.at).map((each) => [each, JSON.parse(each.params)]);
  return Object.keys(own).filter((key) => typeof own[key] === "number").map((key) => {
    const rest = (params) => JSON.stringify(Object.entries(params).filter(([name]) => name !== key).sort());
    const values = new Map();
    for (const [each, params] of siblings) {
      if (typeof params[key] === "number" && rest(params) === rest(own) && (!values.has(params[key]) || each === line)) values.set(params[key], each);
    }
    if (values.size < 2) return null;
    const points = [...values].sort(([a], [b]) => a - b);
    const log = points[0][0] > 0 && points.at(-1)[0] / points[0][0] >= 20;
    const scaled = (v) => (log ? Math.log10(v) : v);
    const lines = summaries(columnsOf(board)).map((column) => ({ name: column.alone ? `${column.group}: ${column.set}` : `${column.group} mean`,
      points: points.map(([v, each]) => [scaled(v), valueOf(each, column.index, metric), each === line]).filter(([, value]) => value !== null) })).filter((each) => each.points.length);
    const heights = lines.flatMap((each) => each.points.map(([, value]) => value));
    if (!heights.length) return null;
    const low = Math.min(...heights), high = Math.max(...heights), room = Math.max((high - low) * 0.08, 1e-3);
    const ys = [0, 0.25, 0.5, 0.75, 1].map((v) => low - room + v * (high - low + 2 * room));
    const xs = points.map(([v]) => scaled(v));
    return lineFigure(`Parameter ${key}`, `${metric.heading}, %`, lines, { xs, ys, dots: true, xTitle: `${key}${log ? " (logarithmic)" : ""}`, yTitle: metric.title,
      xText: (v) => short(log ? 10 ** v : v), yText: (v) => (100 * v).toFixed(high - low < 0.05 ? 2 : 1), label: `${metric.title} of ${line.scorer} by ${key}` });
  }).filter(Boolean);
};
