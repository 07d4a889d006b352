// One connection: the scores of its K options are lines over θ, and the highest one's option is the weight.
(() => {
  const root = document.getElementById("slot-machine"), svg = root.querySelector("svg");
  const machines = JSON.parse(document.getElementById("slot-machine-options").textContent);
  const [k, seed, theta] = ["k", "seed", "theta"].map((name) => root.querySelector(`[name=${name}]`));
  const REACH = Number(theta.max), LEFT = 48, RIGHT = 592, SAMPLES = 800;
  const x = (t) => LEFT + (t + REACH) / (2 * REACH) * (RIGHT - LEFT);
  const scale = (low, high, top, bottom) => (value) => bottom - (value - low) / (high - low) * (bottom - top);
  const element = (tag, given, text = "") => {
    const node = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
    node.textContent = text;
    svg.append(node);
    return node;
  };
  let options, scores, score, weight, moving = [];
  const heights = (t) => options.map((option, i) => scores[i] + option * t);
  const top = (t) => { const all = heights(t); return all.indexOf(Math.max(...all)); };

  function draw() {
    [options, scores] = machines[k.value][seed.value];
    const ends = [...heights(-REACH), ...heights(REACH)];
    score = scale(Math.min(...ends), Math.max(...ends), 14, 200);
    weight = scale(Math.min(...options), Math.max(...options), 232, 312);
    svg.replaceChildren();
    const samples = [...Array(SAMPLES + 1).keys()].map((i) => REACH * (2 * i / SAMPLES - 1));
    options.forEach((option, i) => element("line", { class: "option", x1: x(-REACH), x2: x(REACH), y1: score(scores[i] - option * REACH), y2: score(scores[i] + option * REACH) }));
    element("polyline", { class: "top", points: samples.map((t) => `${x(t)},${score(Math.max(...heights(t)))}`).join(" ") });
    element("path", { class: "top", d: samples.map((t, i) => `${i ? `H${x(t)}V` : `M${x(t)} `}${weight(options[top(t)])}`).join("") });
    for (const y of [204, 318]) element("line", { class: "axis", x1: LEFT, x2: RIGHT, y1: y, y2: y });
    element("text", { x: 0, y: 24 }, "score");
    element("text", { x: 0, y: 244 }, "weight");
    for (const t of [-REACH, 0, REACH]) element("text", { x: x(t), y: 334, "text-anchor": t < 0 ? "start" : t ? "end" : "middle" }, `θ = ${t}`.replace("-", "−"));
    root.dataset.levels = new Set(samples.map(top)).size;
    moving = [];
    mark();
  }

  function mark() {
    const t = Number(theta.value), chosen = top(t);
    moving.forEach((element) => element.remove());
    moving = [element("line", { class: "now", x1: x(t), x2: x(t), y1: 8, y2: 318 })];
    heights(t).forEach((height, i) => moving.push(element("circle", { class: i === chosen ? "chosen" : "other", cx: x(t), cy: score(height), r: i === chosen ? 6 : 3 })));
    moving.push(element("circle", { class: "chosen", cx: x(t), cy: weight(options[chosen]), r: 6 }));
    const number = (value) => value.toFixed(2).replace("-", "−");
    root.querySelector("output").textContent = `θ = ${number(t)}: option ${chosen + 1} of ${options.length} has the highest score, so the weight is ${number(options[chosen])}. Between −${REACH} and ${REACH}, θ can select ${root.dataset.levels} of the ${options.length}.`;
  }

  const drag = (event) => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * 600;
    theta.value = (at - LEFT) / (RIGHT - LEFT) * 2 * REACH - REACH;
    mark();
  };
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); drag(event); });
  svg.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
  theta.addEventListener("input", mark);
  k.addEventListener("change", draw);
  seed.addEventListener("change", draw);
  root.hidden = false;
  draw();
})();
