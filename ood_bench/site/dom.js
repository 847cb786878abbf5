// Elements. Text only ever enters as text: nothing here reads markup.
const flat = (children) => children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);
const add = (node, props, children) => {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...flat(children));
  return node;
};
const el = (name, props, ...children) => add(document.createElement(name), props, children);
const svg = (name, props, ...children) => add(document.createElementNS("http://www.w3.org/2000/svg", name), props, children);
const byId = (id) => document.getElementById(id);
const say = (sentence) => { byId("said").textContent = sentence; };
