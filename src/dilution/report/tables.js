"use strict";
// Tables: search and sorting. Without script all rows are visible in their order.

// Search words: NAME=VALUE searches the column with exactly this name, so alpha=20 ignores alpha_expected. In
// a numeric column a number must equal the cell: 1,000 matches 1000 and 1000.0, not 10000. In a text column a
// word may be part of a cell. A number without a column name matches part of a text cell only if it has at
// least four characters, so that 20 does not match 2026.
function number(text) {
  const plain = /^\d{1,3}(,\d{3})+(\.\d+)?$/.test(text) ? text.replaceAll(",", "") : text;
  return Number(plain.trim() || NaN);
}

function search(field) {
  const input = field.querySelector("input");
  const rows = [...field.parentElement.querySelectorAll("tbody tr")];
  const lower = (cells) => [...cells].map((cell) => cell.textContent.toLowerCase());
  const columns = [...field.parentElement.querySelectorAll("th")];
  const heads = lower(columns).map((head) => head.replace(/ \(%\)$/, ""));
  const numeric = columns.map((head) => head.classList.contains("number"));
  const texts = rows.map((row) => lower(row.cells));
  const cellMatches = (cell, word, asNumber) => {
    const value = number(word);
    return asNumber && !Number.isNaN(value) ? number(cell) === value : cell.includes(word);
  };
  const rowMatches = (cells, word) => {
    const [, head, value] = word.match(/^([^=]+)=(.+)$/) ?? [];
    const column = heads.indexOf(head);
    return column >= 0
      ? cellMatches(cells[column], value, numeric[column])
      : cells.some((cell, index) => cellMatches(cell, word, numeric[index] || word.length < 4));
  };
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, index) => (row.hidden = !words.every((word) => rowMatches(texts[index], word))));
    const visible = rows.filter((row) => !row.hidden).length;
    field.querySelector("output").textContent = `${visible} of ${rows.length} rows`;
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
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const numeric = head.classList.contains("number");
      const key = (row) => {
        const text = row.cells[column].textContent;
        return numeric ? parseFloat(text) : text;
      };
      const missing = (value) => value === "–" || Number.isNaN(value);
      const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) =>
        missing(a) || missing(b) ? missing(a) - missing(b) : compare(a, b) * (ascending ? 1 : -1)
      );
      body.append(...rows.map(([, row]) => row));
    });
  });
}

document.querySelectorAll(".search").forEach(search);
document.querySelectorAll("table").forEach(sortable);
