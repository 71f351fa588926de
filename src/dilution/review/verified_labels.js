"use strict";
// The file of verified labels as the page saves it: the same columns and cells as review/answers.py writes.

const UNSURE = -1;
const WRONG = -2; // without another class

function verdict(answer, given) {
  if (answer === undefined) return "";
  return answer === UNSURE ? "unsure" : answer === given ? "correct" : "wrong";
}

// A spreadsheet would compute these cells: an apostrophe in front stops it, as in utils/csv_cells.py.
function csvCell(text) {
  const isFormula = /^'*[=+\-@\t\r]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
  const safe = isFormula ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// Rows that the file had stay in their order; those of examples on this page get the answers of this page.
function verifiedLabelsCsv(review, state, answers) {
  const columns = state.file_columns;
  const rows = new Map(state.rows.map((row) => [row[0], [...row]]));
  review.ids.forEach((id, item) => {
    const answer = answers.get(item);
    const before = rows.get(id);
    const further = before?.slice(state.n_own_columns) ?? columns.slice(state.n_own_columns).map(() => "");
    if (answer === undefined && !further.some((cell) => cell !== "")) {
      rows.delete(id);
      return;
    }
    rows.set(id, [
      id,
      answer === undefined || answer < 0 ? "" : review.classes[answer],
      review.classes[review.given[item]],
      review.classes[review.suggested[item]],
      verdict(answer, review.given[item]),
      String(review.p_wrong[item]),
      ...further,
    ]);
  });
  return [columns, ...rows.values()].map((row) => `${row.map(csvCell).join(",")}\n`).join("");
}
