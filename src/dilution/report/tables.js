"use strict";
// Tables: search and sorting. Without script all rows are there, in their order.

// A word is part of a cell. A number is the whole of one, so that 20 does not find 2026, unless it is long
// enough to be part of a key or a date. A column may be named: alpha=20.
function holds(cell, word) {
  const number = !Number.isNaN(Number(word));
  return number && word.length < 4 ? Number(cell || NaN) === Number(word) : cell.includes(word);
}

function search(field) {
  const input = field.querySelector("input");
  const rows = [...field.parentElement.querySelectorAll("tbody tr")];
  const low = (cells) => [...cells].map((cell) => cell.textContent.toLowerCase());
  const heads = low(field.parentElement.querySelectorAll("th"));
  const texts = rows.map((row) => low(row.cells));
  const found = (cells, word) => {
    const [, column, value] = word.match(/^(\w+)=(.+)$/) ?? [];
    if (!column || !heads.some((head) => head.startsWith(column)))
      return cells.some((cell) => holds(cell, word));
    return cells.some((cell, number) => heads[number].startsWith(column) && holds(cell, value));
  };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, number) => (row.hidden = !words.every((word) => found(texts[number], word))));
    const left = rows.filter((row) => !row.hidden).length;
    field.querySelector("output").textContent = `${left} of ${rows.length} runs`;
  };
  input.addEventListener("input", filter);
  filter();
  field.hidden = false;
}

function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = element("button", "sort", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const numeric = head.classList.contains("number");
      const key = (row) => {
        const text = row.cells[column].textContent;
        return numeric ? parseFloat(text) : text;
      };
      const missing = (value) => value === "–" || Number.isNaN(value);
      const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) =>
        missing(a) || missing(b) ? missing(a) - missing(b) : compare(a, b) * (up ? 1 : -1)
      );
      body.append(...rows.map(([, row]) => row));
    });
  });
}

document.querySelectorAll(".search").forEach(search);
document.querySelectorAll("table").forEach(sortable);
