// Answers: set, undone, and saved to the file of verified labels through the server, or in the browser.

function setAnswer(item, answer) {
  if (answer === undefined) answers.delete(item);
  else answers.set(item, answer);
  save(item);
}

function answer(number) {
  if (!listed.length) return;
  history.push([current, answers.get(current)]);
  setAnswer(current, number);
  const text = sentence(current);
  const open = nextOpen();
  if (open !== undefined) current = open;
  draw();
  announce(`${text} ${describe(current)}`);
}

function clearAnswer() {
  if (!listed.length || !answers.has(current)) return;
  history.push([current, answers.get(current)]);
  setAnswer(current, undefined);
  draw();
  announce(`Answer taken back. ${describe(current)}`);
}

function undo() {
  const last = history.pop();
  if (!last) return;
  const [item, before] = last;
  setAnswer(item, before ?? undefined); // of a page that was loaded again, none is null
  current = item;
  if (!listed.includes(current)) resetFilters();
  draw();
  announce(`Undone. ${describe(current)}`);
}

const unsent = new Set();
let isSending = false;

function save(item) {
  if (!state.save_to) return keep();
  unsent.add(item);
  send();
}

async function send() {
  if (isSending || !unsent.size) return;
  isSending = true;
  const batch = [...unsent].map((item) => [item, answers.get(item) ?? null]);
  unsent.clear();
  element("saved").textContent = "Saving…";
  let problem = "";
  let warning = "";
  try {
    const response = await fetch(state.save_to, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ answers: batch }),
    });
    const reply = await response.json();
    if (response.ok) {
      warning = reply.warning;
      if (reply.answers) adopt(reply.answers);
    } else problem = reply.error;
  } catch {
    problem = "the command dilution review does not answer. Start it again, with this page open";
  }
  isSending = false;
  if (problem) {
    for (const [item] of batch) unsent.add(item);
    element("saved").textContent = `${counted(unsent.size)} not saved`;
    setTimeout(send, RETRY);
  } else if (unsent.size) send();
  else element("saved").textContent = `Saved to ${state.file}`;
  element("saved").classList.toggle("failed", Boolean(problem));
  report(problem ? `Not saved: ${problem}` : warning ? `Saved, but ${warning}.` : "", Boolean(problem));
}

// Another program has changed the file: its answers are shown, but for those that are still to be sent.
function adopt(pairs) {
  const kept = [...unsent].map((item) => [item, answers.get(item)]);
  answers.clear();
  for (const [item, number] of pairs) answers.set(item, number);
  for (const [item, number] of kept) {
    if (number === undefined) answers.delete(item);
    else answers.set(item, number);
  }
  draw();
}

function report(text, isProblem) {
  const line = element("problem");
  if (!text && line.dataset.stays) return;
  line.textContent = text;
  line.hidden = !text;
  line.dataset.stays = text && !isProblem ? "1" : "";
}

// A page that is a file keeps answers in the browser, so that nothing is lost before they are saved as a file.
function keep() {
  try {
    localStorage.setItem(storageKey, JSON.stringify({ answers: [...answers], history }));
  } catch {
    report("This browser keeps no data of pages that are files: save the file before you close the page.", true);
  }
}

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageKey));
    if (!kept) return;
    answers.clear();
    for (const [item, number] of kept.answers) if (item in review.ids) answers.set(item, number);
    history = kept.history;
  } catch {
    // none are kept, or the browser keeps none: the page begins with the answers that came with it
  }
}

function download() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([verifiedLabelsCsv(review, state, answers)], { type: "text/csv" }));
  link.download = state.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
