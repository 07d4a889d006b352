// Shows the cell that the address names. Its file, one for all K and seeds of a selection, calls show() with what it holds.
const AXES = ["recipe", "dataset", "architecture", "selection", "K", "finetuned from", "seed"];
const CURVES = [
  ["validation_accuracy", "Accuracy (%)", 100, "validation accuracy"],
  ["train_loss", "Training loss", 1, "training loss"],
  ["changed", "Connections that changed (%)", 100, "share of connections that changed in an epoch"],
];
const parts = {};
let charts = [];

const element = (tag, given = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const copy = (text) => {
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text()); }
    catch { // a page that was opened as a file, or a browser that asks for more than a click
      const box = element("textarea", {}, text());
      document.body.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
};
const link = (name) => element("a", { href: `#${name}` }, name);
const section = (title, ...children) => element("section", {}, element("h2", {}, title), ...children);
const list = (pairs) => element("dl", {}, ...Object.entries(pairs).flatMap(([term, text]) => [element("dt", {}, term), element("dd", {}, text)]));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const names = () => { try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; } };

function load() {
  const name = names();
  const [recipe, dataset, architecture, selection, k, finetune, seed] = name.split("/");
  if (!/^[\w-]+(\.[\w-]+)*(\/[\w-]+(\.[\w-]+)*){6}$/.test(name)) return tell("The address names no cell.");
  const title = [selection, k.replace("k", "K = "), ...(finetune === "none" ? [] : [finetune.replace("e", "finetuned from epoch ")]), seed.replace("seed", "seed ")].join(", ");
  document.getElementById("name").textContent = title;
  document.getElementById("where").textContent = `${architecture} on ${dataset}, recipe ${recipe}`;
  document.title = `${title}: ${architecture} on ${dataset}`;
  const part = name.split("/").slice(0, 4).join("/");
  if (parts[part]) return draw(name, parts[part]);
  const script = element("script", { src: `cells/${part}.js` });
  window.show = (cells) => { parts[part] = cells; if (names() === name) draw(name, cells); };
  script.onerror = () => tell("This run has no such cell.");
  document.head.append(script);
}

function tell(text, kind = "missing") {
  const status = document.getElementById("status");
  status.textContent = text;
  status.className = `lead status ${kind}`;
  if (kind === "missing") document.getElementById("cell").replaceChildren();
}

function draw(name, cells) {
  const cell = cells[name];
  if (!cell) return tell("This run has no such cell.");
  const place = document.getElementById("cell");
  place.replaceChildren();
  const trained = cell.curves !== undefined;
  const sign = { done: "✓", diverged: "↗", missing: "–", failed: "✗" }[cell.status];
  tell(`${sign} ${cell.status}` + (trained ? `: test accuracy ${cell.accuracy}` : ""), `${cell.status} `);
  if (cell.problem) place.append(element("p", {}, cell.problem));
  if (cell.vouched) place.append(element("p", { class: "note" }, `Its code has changed since, its numbers have not: ${cell.vouched}.`));
  if (cell.stale) place.append(element("p", { class: "note" }, `Today's code or recipe would train it again: ${cell.stale}.`));

  const steps = [["previous", "← Previous cell"], ["next", "Next cell →"]].filter(([which]) => cell[which]);
  place.append(element("nav", { "aria-label": "Cells" }, element("ul", {},
    ...steps.map(([which, text]) => element("li", {}, element("a", { href: `#${cell[which]}`, rel: which.slice(0, 4), title: cell[which] }, text))),
    element("li", {}, "Link to this cell: ", copy(() => location.href)))));

  const axes = name.split("/");
  const siblings = Object.keys(cells).filter((other) => other !== name && other.startsWith(name.replace(/[^/]+$/, "")));
  const about = Object.fromEntries(AXES.map((axis, i) => [axis, axes[i].replace(/^(k|seed)(?=\d)/, "")]));
  const family = section("This cell", list(about));
  const related = [...(cell.parent ? [["It starts from", [cell.parent]]] : []), ...(siblings.length ? [["Other seeds", siblings]] : [])];
  const more = family.querySelector("dl");
  for (const [term, others] of related) {
    more.append(element("dt", {}, term), ...others.map((other) => element("dd", {}, link(other))));
  }
  if (trained) more.append(element("dt", {}, "Record"), element("dd", {}, element("a", { href: cell.record }, "JSON")));

  if (trained) {
    const others = siblings.map((other) => cells[other]).filter((other) => other.curves && other.start === cell.start);
    place.append(section("Curves", plots(cell, others)), section("Results", list({ ...cell.beside, ...cell.results })));
  }
  if (trained && cell.layers.length) place.append(section("What its layers have selected", layers(cell.layers)));
  place.append(section("The same cell again, by hand", copy(() => cell.commands.join("\n")), element("pre", { tabindex: 0, role: "region", "aria-label": "Commands" }, element("code", {}, cell.commands.join("\n")))));
  place.append(family);
  if (trained) place.append(section("Recipe", list(cell.recipe)), section("Provenance", list(cell.provenance)));
  drawCharts();
}

function layers(all) {
  const names = Object.keys(all[0]);
  const head = (text) => element("th", { scope: "col", class: "number" }, text);
  const rows = all.map((layer, i) => element("tr", {}, element("th", { scope: "row" }, `${i + 1}`), ...names.map((name) => element("td", { class: "number" }, layer[name]))));
  const note = element("p", { class: "quiet" }, "Magnitudes are means of absolute values, in units of the layer's bound of options. Bits are per connection: of the rank of the selected option among its connection's options, and of how many levels of its staircase it has moved.");
  const table = element("table", {}, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "layer"), ...names.map(head))), element("tbody", {}, ...rows));
  return element("div", {}, element("div", { class: "scroll", role: "region", "aria-label": "Table: layers", tabindex: 0 }, table), note);
}

// ---- curves, by uPlot ----

function plots(cell, others) {
  const all = element("div", { class: "plots" });
  const epochs = cell.curves.train_loss.length;
  charts = [];
  for (const [key, title, times, words] of CURVES) {
    const values = cell.curves[key].map((value) => value === null ? null : times * value);
    const known = values.filter((value) => value !== null);
    if (!known.length) continue;
    const summary = `Chart over epochs. The ${words} goes from ${short(known[0])} to ${short(known.at(-1))}, between ${short(Math.min(...known))} and ${short(Math.max(...known))}.`;
    const box = element("div", { role: "img", "aria-label": summary });
    const readout = element("span", {});
    all.append(element("figure", {}, element("figcaption", {}, element("strong", {}, title), readout), box));
    const tested = key === "validation_accuracy" ? cell.test.map(([epoch, value]) => [epoch, 100 * value]) : [];
    charts.push({ box, readout, values, tested, times, words, start: cell.start, best: cell.best,
      others: others.map((other) => other.curves[key].map((value) => value === null ? null : times * value)) });
  }
  const rows = [...Array(epochs).keys()].map((i) => element("tr", {}, element("th", { scope: "row" }, `${cell.start + i + 1}`),
    ...CURVES.map(([key, , times]) => element("td", { class: "number" }, short(cell.curves[key][i] === null ? null : times * cell.curves[key][i])))));
  const heads = ["epoch", ...CURVES.map(([, title]) => title)].map((title, i) => element("th", i ? { scope: "col", class: "number" } : { scope: "col" }, title));
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  const note = element("p", { class: "quiet" }, `Dashed: the epoch of best validation accuracy. Points: test accuracy, where it was read.${others.length ? " Grey: the other seeds." : ""}`);
  return element("div", {}, all, note, element("details", {}, element("summary", {}, "Every value"), element("div", { class: "scroll", role: "region", "aria-label": "Values of the curves", tabindex: 0 }, table)));
}

const short = (value) => value === null ? "–" : `${+value.toPrecision(4)}`;

function drawCharts() {
  const ink = colour("--ink"), grid = { stroke: colour("--line"), width: 1 };
  for (const chart of charts) {
    chart.plot?.destroy();
    const count = Math.max(chart.values.length, ...chart.others.map((values) => values.length));
    const epochs = [...Array(count).keys()].map((i) => chart.start + i + 1);
    const at = (pairs) => epochs.map((epoch) => pairs.find(([tested]) => tested === epoch)?.[1] ?? null);
    const data = [epochs, ...chart.others, chart.values, at(chart.tested)].map((values) => epochs.map((_, i) => values[i] ?? null));
    const line = { width: 1.5, points: { show: false } };
    const axis = { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const best = (plot) => {
      const x = Math.round(plot.valToPos(chart.best, "x", true)), { ctx } = plot;
      ctx.save();
      ctx.strokeStyle = colour("--quiet");
      ctx.setLineDash([4, 4]);
      ctx.beginPath();
      ctx.moveTo(x, plot.bbox.top);
      ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
      ctx.stroke();
      ctx.restore();
    };
    const read = ({ cursor: { idx } }) => {
      const value = chart.values[idx], test = data.at(-1)[idx];
      chart.readout.textContent = value == null ? "" : ` at epoch ${epochs[idx]}: ${short(value)}${test === null ? "" : `, test ${short(test)}`}`;
    };
    const options = {
      width: chart.box.clientWidth, height: 220,
      scales: { x: { time: false } },
      axes: [{ ...axis, label: "epoch", labelFont: "12px system-ui, sans-serif", labelSize: 20 }, { ...axis, size: 60 }],
      hooks: { draw: [best], setCursor: [read] },
      legend: { show: false },
      series: [
        {},
        ...chart.others.map(() => ({ ...line, stroke: colour("--line-strong"), width: 1 })),
        { ...line, stroke: colour("--curve") },
        { stroke: colour("--test"), paths: () => null, points: { show: true, size: 6, fill: colour("--test") } },
      ],
    };
    chart.plot = new uPlot(options, data, chart.box);
  }
}

addEventListener("hashchange", load);
addEventListener("resize", () => charts.forEach(({ plot, box }) => plot?.setSize({ width: box.clientWidth, height: 220 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
load();
