// Headers that sort, as buttons for the keyboard; the sorting is sortable's. A box above each table that filters its rows.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const head of heads) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
  }
  const names = heads.map((head) => head.textContent.trim().toLowerCase());
  const filter = document.getElementById(`filter-${table.id}`);
  if (!filter) continue;
  filter.hidden = false;
  const box = filter.querySelector("input"), count = filter.querySelector("output");
  // Every word has to be in the row; "k=8" has to be all that stands under a head which begins with "k".
  const matches = (texts, word) => {
    const [name, value] = word.split("=");
    if (value === undefined) return texts.some((text) => text.includes(word));
    return texts.some((text, place) => text === value && names[place].startsWith(name));
  };
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const texts = [...row.cells].map((cell) => cell.textContent.trim().toLowerCase());
      row.hidden = !words.every((word) => matches(texts, word));
    }
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  });
}
// What is folded away on a screen is not on paper.
// Paper shows what a screen folds away; afterwards the screen is as it was.
let unfolded = [];
addEventListener("beforeprint", () => {
  // A browser may tell of one printing twice: what was unfolded the first time stays known
  const folded = [...document.querySelectorAll("details:not([open])")];
  unfolded = [...unfolded, ...folded];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of unfolded) details.open = false;
  unfolded = [];
});
