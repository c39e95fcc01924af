// What the page does beyond HTML. Without this script its tables stay in the paper's order, and all else works.

// Tables of results sort by any column: ascending, descending, as in the paper.
for (const table of document.querySelectorAll("table.results")) {
  const body = table.tBodies[0], original = [...body.rows];
  const heads = [table.tHead.rows[0].cells[0], ...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const group = [""];
  for (const cell of table.tHead.querySelectorAll(".group"))
    for (let i = 0; i < cell.colSpan; i++) group.push(cell.firstElementChild.firstChild.textContent.trim());
  const key = (row, column) => {
    const cell = row.cells[column], text = cell.textContent.trim();
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.classList.contains("n") ? null : text || null;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    if (group[column]) button.setAttribute("aria-label", `${group[column]}: ${button.textContent.trim()}`);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")] ?? (head.hasAttribute("aria-sort") ? null : "ascending");
      for (const other of heads) other.removeAttribute("aria-sort");
      const rows = [...original];
      if (next) {
        head.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        rows.sort((a, b) => {
          const [x, y] = [key(a, column), key(b, column)];
          if (x === null || y === null) return (x === null) - (y === null); // what is missing comes last
          if (typeof x === "number" && typeof y === "number") return sign * (x - y);
          return sign * String(x).localeCompare(String(y), "en", { numeric: true });
        });
      }
      body.append(...rows);
    });
  });
}

// The text field above the tables keeps the rows that have all of its words: of a model, a detector, or a verdict.
const filter = document.querySelector(".filter"), tables = [...document.querySelectorAll("table.results")];
const words = text => text.toLowerCase().split(/[^\p{L}\p{N}.]+/u).filter(Boolean);
filter?.addEventListener("input", ({ target }) => {
  const wanted = words(target.value), rows = tables.flatMap(table => [...table.tBodies[0].rows]);
  for (const row of rows) {
    const found = [row.cells[0], ...row.querySelectorAll(".v")].flatMap(cell => words(cell.textContent));
    row.hidden = !wanted.every(word => found.some(other => other.startsWith(word)));
  }
  for (const table of tables) table.hidden = [...table.tBodies[0].rows].every(row => row.hidden);
  filter.lastElementChild.textContent = wanted.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
});

// A click on a row, or on what belongs to a run in a figure, marks the run in all tables and figures; another one takes
// the marks away. The label of a row is a button that does the same from the keyboard.
for (const row of document.querySelectorAll("tr[data-run]")) {
  const button = document.createElement("button"), label = row.cells[0];
  button.type = "button";
  button.className = "pick";
  button.setAttribute("aria-pressed", "false");
  while (label.firstChild && !label.firstChild.matches?.("sup, small")) button.append(label.firstChild);
  label.prepend(button);
}
document.addEventListener("click", event => {
  const chosen = event.target.closest("[data-run]");
  if (!chosen || event.target.closest("a, summary, button:not(.pick)")) return;
  const marked = chosen.classList.contains("marked");
  for (const one of document.querySelectorAll("[data-run]")) {
    const same = !marked && one.dataset.run === chosen.dataset.run;
    one.classList.toggle("marked", same);
    one.querySelector(":scope > th > .pick")?.setAttribute("aria-pressed", same);
  }
});

// A link to a heading, or to what is in a folded section, unfolds it.
const reveal = hash => {
  const target = document.getElementById(decodeURIComponent(hash.slice(1)));
  for (let section = target?.closest("details:not([open])"); section; section = section.closest("details:not([open])")) section.open = true;
  target?.scrollIntoView();
};
document.addEventListener("click", event => {
  const link = event.target.closest("a[href^='#']");
  if (link) reveal(link.hash);
});
if (location.hash) reveal(location.hash);

// The Tab key stops at a region only while there is something to scroll to; labels cast a shadow on what passes below.
const watch = new ResizeObserver(entries => {
  for (const { target } of entries) target.scrollWidth > target.clientWidth ? (target.tabIndex = 0) : target.removeAttribute("tabindex");
});
for (const region of document.querySelectorAll(".scroll, pre[tabindex]")) {
  watch.observe(region);
  region.addEventListener("scroll", () => region.classList.toggle("moved", region.scrollLeft > 0), { passive: true });
}

// An open origin or source closes when the focus goes elsewhere.
document.addEventListener("focusin", event => {
  for (const open of document.querySelectorAll(":popover-open")) if (!open.contains(event.target)) open.hidePopover();
});
