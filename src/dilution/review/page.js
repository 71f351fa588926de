// The review page: one example at a time, answers by key or click. The page has a fixed number of elements,
// however many examples there are.

function nextOpen() {
  const from = listed.indexOf(current) + 1;
  return [...listed.slice(from), ...listed.slice(0, from)].find((item) => !answers.has(item));
}

function go(item) {
  if (item === undefined || item === current) return;
  current = item;
  draw();
  announce(describe(current));
}

const move = (step) => go(listed[Math.min(Math.max(listed.indexOf(current) + step, 0), listed.length - 1)]);

function applyFilters() {
  const [number, wanted] = [element("class-filter").value, element("verdict-filter").value];
  listed = review.ids.map((_, item) => item).filter((item) => {
    const ofClass = number === "" || review.given[item] === +number || review.suggested[item] === +number;
    return ofClass && (wanted === "all" || (verdictOf(item) || "open") === wanted);
  });
  if (!listed.includes(current) && listed.length) current = listed[0];
  draw();
}

function resetFilters() {
  element("class-filter").value = "";
  element("verdict-filter").value = "all";
  listed = review.ids.map((_, item) => item);
}

// A class whose name is a digit has that key; where no class has such a name, the first ten have 1 … 9 and 0.
function assignKeys() {
  const digits = review.classes.flatMap((name, number) => (/^[0-9]$/.test(name) ? [[number, name]] : []));
  const inOrder = review.classes.slice(0, 10).map((_, number) => [number, String((number + 1) % 10)]);
  keyOfClass = new Map(digits.length ? digits : inOrder);
}

function classOfKey(key) {
  return [...keyOfClass].find(([, name]) => name === key)?.[0];
}

const takeSuggestion = () => answer(review.suggested[current]);

const ACTIONS = {
  ArrowRight: () => move(1),
  ArrowDown: () => move(1),
  j: () => move(1),
  ArrowLeft: () => move(-1),
  ArrowUp: () => move(-1),
  k: () => move(-1),
  Home: () => go(listed[0]),
  End: () => go(listed.at(-1)),
  n: () => go(nextOpen()),
  y: () => answer(review.given[current]),
  s: takeSuggestion,
  Enter: takeSuggestion,
  w: () => answer(WRONG),
  u: () => answer(UNSURE),
  z: undo,
  Delete: clearAnswer,
  Backspace: clearAnswer,
  "/": () => element("search").focus(),
  "?": () => element("help").showModal(),
};

function onKey(event) {
  if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && event.target !== element("search")) {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || element("help").open) return;
  if (event.target.matches("input, select")) return;
  if (event.key === "Enter" && event.target.matches("button, a")) return; // the browser presses it
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const number = classOfKey(key);
  const action = number === undefined ? ACTIONS[key] : () => answer(number);
  if (!action || (event.repeat && !/^Arrow|^[jk]$/.test(key))) return; // a key held down gives one answer
  event.preventDefault();
  action();
}

function onSearchKey(event) {
  if (event.key === "Escape" || (event.key === "Enter" && element("search").value.trim())) {
    event.preventDefault();
    const [first] = matchingClasses();
    if (event.key === "Enter" && first === undefined) return;
    element("search").value = "";
    if (event.key === "Enter") answer(first);
    else drawClasses();
    element("example").focus({ preventScroll: true });
  }
}

// After a click by mouse or finger the keys act on the example again, and Enter does not press the button twice.
function onClick(id, action, selector) {
  element(id).addEventListener("click", (event) => {
    const target = selector ? event.target.closest(selector) : event.currentTarget;
    if (!target) return;
    action(target);
    if (event.detail) element("example").focus({ preventScroll: true });
  });
}

function fillClassFilter() {
  const counts = review.classes.map(() => 0);
  review.ids.forEach((_, item) => new Set([review.given[item], review.suggested[item]]).forEach((number) => (counts[number] += 1)));
  const options = review.classes.flatMap((_, number) => (counts[number] ? [new Option(`${className(number)} (${counted(counts[number])})`, number)] : []));
  element("class-filter").replaceChildren(new Option("all", ""), ...options);
}

function start() {
  if (!state.save_to) restore();
  assignKeys();
  fillClassFilter();
  current = nextOpen() ?? 0;
  if (!answers.has(0)) current = 0;
  onClick("correct", () => answer(review.given[current]));
  onClick("take", takeSuggestion);
  onClick("wrong", () => answer(WRONG));
  onClick("unsure", () => answer(UNSURE));
  onClick("undo", undo);
  onClick("previous", () => move(-1));
  onClick("next", () => move(1));
  onClick("classes", (button) => answer(Number(button.dataset.number)), "button");
  onClick("strip", (button) => go(Number(button.dataset.item)), "button");
  onClick("help-button", () => element("help").showModal());
  if (element("download")) onClick("download", download);
  for (const id of ["class-filter", "verdict-filter"]) element(id).addEventListener("change", applyFilters);
  element("search").addEventListener("input", drawClasses);
  element("search").addEventListener("keydown", onSearchKey);
  document.addEventListener("keydown", onKey);
  addEventListener("beforeunload", (event) => {
    if (unsent.size || isSending) event.preventDefault();
  });
  if (review.notes.length) {
    report(`${review.notes.map(visible).join("; ")}.`, false);
    element("problem").classList.add("note");
  }
  draw();
}

start();
