"use strict";
// Tables: search and sorting. Without script all rows are there, in their order.

// A column may be named, in full: alpha=20 says nothing of alpha_expected. In a column of numbers a number is the
// whole of a cell, however it is written: 1,000 is 1000 and 1000.0, and not 10000. In a column of text a word
// is part of a cell; but a number without a column must be long enough to be part of a key or a date, so that
// 20 does not find 2026.
function number(text) {
  const plain = /^\d{1,3}(,\d{3})+(\.\d+)?$/.test(text) ? text.replaceAll(",", "") : text;
  return Number(plain.trim() || NaN);
}

function search(field) {
  const input = field.querySelector("input");
  const rows = [...field.parentElement.querySelectorAll("tbody tr")];
  const low = (cells) => [...cells].map((cell) => cell.textContent.toLowerCase());
  const columns = [...field.parentElement.querySelectorAll("th")];
  const heads = low(columns).map((head) => head.replace(/ \(%\)$/, ""));
  const numeric = columns.map((head) => head.classList.contains("number"));
  const texts = rows.map((row) => low(row.cells));
  const holds = (cell, word, whole) => {
    const wanted = number(word);
    return whole && !Number.isNaN(wanted) ? number(cell) === wanted : cell.includes(word);
  };
  const found = (cells, word) => {
    const [, head, value] = word.match(/^([^=]+)=(.+)$/) ?? [];
    const named = heads.indexOf(head);
    return named >= 0
      ? holds(cells[named], value, numeric[named])
      : cells.some((cell, column) => holds(cell, word, numeric[column] || word.length < 4));
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
