// What the review page knows: the examples, the answers so far, which example is shown; and its texts.

const MOST_CLASSES = 40; // buttons; a search finds the others
const NEAR = 6; // examples before and after the current one in the strip
const RETRY = 4000; // milliseconds until answers that were not saved are sent again
const element = (id) => document.getElementById(id);
const review = JSON.parse(element("review-data").textContent);
const state = JSON.parse(element("review-state").textContent);
const total = review.ids.length;
const storageKey = `dilution-review-${review.key}`;

const answers = new Map(state.answers);
let history = []; // [item, answer before it], oldest first
let listed = review.ids.map((_, item) => item); // items that pass the filters
let current = 0;
let keyOfClass = new Map();

// Characters that reverse or hide text are written as escapes; nothing but textContent shows texts of the data.
function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const className = (number) => visible(review.classes[number]);
const quoted = (number) => `“${className(number)}”`;
const percent = (share) => (share > 0.995 ? "over 99\u00a0%" : share < 0.005 ? "under 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);
const counted = (count) => count.toLocaleString("en");
const verdictOf = (item) => verdict(answers.get(item), review.given[item]);

function sentence(item) {
  const answer = answers.get(item);
  if (answer === undefined) return "";
  if (answer === UNSURE) return "You cannot tell.";
  if (answer === WRONG) return "Wrong: it is another class, or none.";
  return answer === review.given[item] ? `Correct: it is ${quoted(answer)}.` : `Wrong: it is ${quoted(answer)}.`;
}

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}
