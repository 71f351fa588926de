// Drawing: progress, the example, the verdicts, the classes, and the examples near it.

// An id that is a number, as of arrays, needs a noun.
const exampleName = (item) => (/^[0-9]+$/.test(review.ids[item]) ? "Example " : "") + visible(review.ids[item]);

function describe(item) {
  return `${exampleName(item)}: given ${className(review.given[item])}, suggested ${className(review.suggested[item])}.`;
}

function announce(text) {
  element("announcement").textContent = text;
}

function draw() {
  drawProgress();
  const isEmpty = !listed.length;
  element("questions").classList.toggle("empty", isEmpty);
  for (const id of ["previous", "next"]) element(id).disabled = isEmpty;
  if (isEmpty) {
    element("example-name").textContent = "No example passes these filters";
    element("position").textContent = "";
    element("content").replaceChildren();
    element("strip").replaceChildren();
    return;
  }
  const place = listed.indexOf(current);
  element("example-name").textContent = exampleName(current);
  element("position").textContent = `${counted(place + 1)} of ${counted(listed.length)}`;
  element("previous").disabled = place === 0;
  element("next").disabled = place === listed.length - 1;
  drawContent();
  drawQuestions();
  drawStrip(place);
}

function drawProgress() {
  const counts = { wrong: 0, correct: 0, unsure: 0 };
  for (const item of answers.keys()) counts[verdictOf(item)] += 1;
  const bar = element("bar");
  bar.setAttribute("aria-valuemax", total);
  bar.setAttribute("aria-valuenow", answers.size);
  for (const part of bar.children) part.style.width = `${(100 * counts[part.className]) / total}%`;
  const unsure = counts.unsure ? `, ${counted(counts.unsure)} unsure` : "";
  element("count").textContent =
    `${counted(answers.size)} of ${counted(total)} reviewed, ${counted(counts.wrong)} wrong so far${unsure}`;
  element("undo").disabled = !history.length;
  const isDone = answers.size === total;
  element("done").hidden = !isDone;
  if (isDone) {
    const kept = state.save_to ? `All answers are in ${state.file}.` : `Save ${state.file}, then go on:`;
    element("done-text").textContent = `All ${counted(total)} are reviewed. ${kept}`;
    element("command").textContent = visible(state.command);
    element("command").hidden = !state.command;
  }
}

function drawContent() {
  if (review.images.length) {
    const image = make("img");
    image.src = review.images[current];
    image.alt = `Image of ${exampleName(current)}`;
    image.addEventListener("load", () => image.classList.toggle("coarse", image.naturalWidth <= 64 && image.naturalHeight <= 64));
    element("content").replaceChildren(image);
    return;
  }
  const list = make("dl", "cells");
  review.columns.forEach((column, number) => {
    const text = visible(review.cells[current][number]);
    const row = make("div", text.length > 80 ? "long" : "");
    row.append(make("dt", "", visible(column)), make("dd", text === "" ? "quiet" : "", text === "" ? "empty" : text));
    list.append(row);
  });
  element("content").classList.add("table");
  element("content").replaceChildren(list);
}

function drawQuestions() {
  const [given, suggested, answered] = [review.given[current], review.suggested[current], answers.get(current)];
  const agrees = given === suggested;
  element("given").textContent = className(given);
  element("suggested").textContent = agrees ? "no other class" : className(suggested);
  element("suggested").classList.toggle("quiet", agrees);
  const chance = `The given label is wrong with probability ${percent(review.p_wrong[current])}`;
  const right = agrees ? "" : `; ${quoted(suggested)} is right with probability ${percent(review.p_suggested[current])}`;
  element("chance").textContent = `${chance}${right}.`;
  const verdicts = [
    ["correct", `${quoted(given)} is correct`, given],
    ["take", `It is ${quoted(suggested)}`, suggested],
    ["wrong", "It is wrong", WRONG],
    ["unsure", "I cannot tell", UNSURE],
  ];
  for (const [id, text, number] of verdicts) {
    const button = element(id);
    button.querySelector("span").textContent = text;
    button.setAttribute("aria-pressed", String(answered === number));
  }
  element("take").hidden = agrees;
  element("verdict").className = `verdict-line ${verdictOf(current)}`;
  element("verdict").textContent = sentence(current);
  drawClasses();
}

function matchingClasses() {
  const wanted = element("search").value.trim().toLowerCase();
  const numbers = review.classes.map((_, number) => number);
  if (!wanted) return numbers;
  const names = review.classes.map((name) => name.toLowerCase());
  const matching = numbers.filter((number) => names[number].includes(wanted));
  const rank = (number) => (names[number] === wanted ? 0 : names[number].startsWith(wanted) ? 1 : 2);
  return matching.sort((a, b) => rank(a) - rank(b) || a - b);
}

function drawClasses() {
  const matching = matchingClasses();
  const answered = answers.get(current);
  const buttons = matching.slice(0, MOST_CLASSES).map((number) => {
    const button = make("button", number === review.given[current] ? "class is-given" : "class");
    button.type = "button";
    button.dataset.number = number;
    if (keyOfClass.has(number)) button.append(make("kbd", "", keyOfClass.get(number)));
    button.append(make("span", "", className(number)));
    button.setAttribute("aria-pressed", String(answered === number));
    return button;
  });
  element("classes").replaceChildren(...buttons);
  const more = matching.length - buttons.length;
  element("more").textContent = more > 0 ? `and ${counted(more)} more: search for them` : matching.length ? "" : "No class has this name.";
}

function drawStrip(place) {
  const first = Math.max(0, Math.min(place - NEAR, listed.length - 2 * NEAR - 1));
  const buttons = listed.slice(first, first + 2 * NEAR + 1).map((item) => {
    const button = make("button", `near ${verdictOf(item)}`);
    button.type = "button";
    button.dataset.item = item;
    if (item === current) button.setAttribute("aria-current", "true");
    const mark = { wrong: "✕", correct: "✓", unsure: "?" }[verdictOf(item)] ?? "";
    button.setAttribute("aria-label", `${describe(item)} ${verdictOf(item) || "not reviewed"}`);
    if (review.images.length) {
      const image = make("img");
      image.src = review.images[item];
      image.alt = "";
      image.decoding = "async";
      button.append(image);
    } else button.append(make("span", "near-name", visible(review.ids[item])));
    button.append(make("span", "near-label", className(review.given[item])), make("span", "mark", mark));
    return button;
  });
  element("strip").replaceChildren(...buttons);
  const chosen = element("strip").querySelector("[aria-current]");
  element("strip").scrollLeft = chosen.offsetLeft - (element("strip").clientWidth - chosen.clientWidth) / 2;
}
