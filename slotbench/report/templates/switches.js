// In a figure whose marks have ids that end with a method (figures/switches.py): a box for each method, which hides and
// shows its marks and labels.
for (const figure of document.querySelectorAll("figure")) {
  const parts = new Map();
  for (const part of figure.querySelectorAll("[id*='-method-']")) {
    const method = part.id.match(/-method-\d+-(.+)$/)?.[1].replaceAll("_", " ");
    if (method) parts.set(method, [...(parts.get(method) ?? []), part]);
  }
  if (parts.size < 2) continue;
  const boxes = document.createElement("fieldset"), legend = document.createElement("legend");
  boxes.className = "switches";
  legend.textContent = "Show";
  boxes.append(legend);
  for (const [method, own] of parts) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => own.forEach((part) => { part.style.display = box.checked ? "" : "none"; }));
    label.append(box, ` ${method}`);
    boxes.append(label);
  }
  figure.querySelector(".picture-of").before(boxes);
}
