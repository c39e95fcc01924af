// Tables of results sort by any column: ascending, descending, as in the paper. Without this script they stay as they are.
for (const table of document.querySelectorAll("table.results")) {
  const body = table.tBodies[0], original = [...body.rows];
  const heads = [table.tHead.rows[0].cells[0], ...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const group = [""];
  for (const cell of [...table.tHead.rows[0].cells].slice(1))
    for (let i = 0; i < cell.colSpan; i++) group.push(cell.firstChild.textContent.trim());
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
          return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
        });
      }
      body.append(...rows);
    });
  });
}
