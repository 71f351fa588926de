"use strict";
// Plots: what stands behind a point, and zoom. Without script they are images.

const MOUSE_REACH = 32; // a point answers to a pointer this near, in pixels
const TOUCH_REACH = 48;
const CLICK = 6; // a drag shorter than this, in pixels, is a click
const DEEPEST = 16; // times that a plot can be enlarged

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text; // never as HTML: names come from users
  return made;
}

function shape(name, svg) {
  const made = document.createElementNS(svg.namespaceURI, name);
  made.setAttribute("class", name === "circle" ? "ring" : "pick");
  made.setAttribute("visibility", "hidden");
  return svg.appendChild(made);
}

// Tick labels of an enlarged plot: in their size, at the edge of the view where their axis is out of it.
function tickLabels(svg) {
  const ticks = [...svg.querySelectorAll(".panel")].flatMap((panel) => {
    const frame = panel.querySelector("path").getBBox(); // its background, which is drawn first
    const texts = [...panel.querySelectorAll(".across, .upward")];
    return texts.map((text) => ({ text, frame, box: text.getBBox() }));
  });
  for (const { text } of ticks) svg.append(text); // above the lines

  return (view, share) => {
    const [right, bottom] = [view.x + view.width, view.y + view.height];
    for (const { text, frame, box } of ticks) {
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      let at, seen;
      if (text.classList.contains("across")) {
        const low = frame.y + frame.height;
        at = [x, Math.min(low + share * (y - low), bottom - share * (box.height / 2 + 4))];
        seen = x > view.x && x < right && frame.y < bottom && low > view.y;
      } else {
        at = [Math.max(frame.x + share * (x - frame.x), view.x + share * (box.width / 2 + 4)), y];
        seen = y > view.y && y < bottom && frame.x < right && frame.x + frame.width > view.x;
      }
      text.setAttribute("transform", `translate(${at}) scale(${share}) translate(${-x} ${-y})`);
      text.setAttribute("visibility", seen ? "visible" : "hidden");
    }
  };
}

function plot(box) {
  const [scene, svg, tip, reset, hint] = [".scene", "svg", ".tip", ".reset", ".hint"].map((name) =>
    box.querySelector(name)
  );
  const marks = JSON.parse(box.querySelector("script").textContent);
  const [left, top, width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const whole = { x: left, y: top, width, height };
  const ring = shape("circle", svg);
  const pick = shape("rect", svg);
  let view = whole;
  let current = -1; // number of the point that is shown
  let label = null; // places the tick labels, once something was enlarged
  let from = null; // where a drag began

  const toPlot = (event) =>
    new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const toScreen = (mark) => new DOMPoint(mark.x, mark.y).matrixTransform(svg.getScreenCTM());
  const inView = ({ x, y }) =>
    x >= view.x && x <= view.x + view.width && y >= view.y && y <= view.y + view.height;

  function hide() {
    current = -1;
    tip.hidden = true;
    ring.setAttribute("visibility", "hidden");
  }

  function fill(mark) {
    const head = element("p", "series", mark.series || mark.measure);
    const swatch = element("span", "swatch", "");
    swatch.style.background = mark.colour;
    head.prepend(swatch);
    tip.replaceChildren(head);
    if (mark.value) {
      const value = element("p", "value", `${mark.value} `);
      if (mark.series) value.append(element("span", "measure", mark.measure));
      tip.append(value);
    }
    if (mark.interval) tip.append(element("p", "interval", mark.interval));
    const rows = element("dl", "", "");
    for (const [name, value] of mark.rows) rows.append(element("dt", "", name), element("dd", "", value));
    if (mark.rows.length) tip.append(rows);
    if (mark.note) tip.append(element("p", "interval", mark.note));
  }

  // Above the point where there is room, else below; never beyond the edges of the plot.
  function place(mark) {
    const at = toScreen(mark);
    const frame = box.getBoundingClientRect();
    const most = frame.width - tip.offsetWidth - 4;
    const above = at.y - frame.top - tip.offsetHeight - 14;
    tip.style.left = `${Math.max(4, Math.min(at.x - frame.left - tip.offsetWidth / 2, most))}px`;
    tip.style.top = `${at.y - tip.offsetHeight - 20 > 0 ? above : at.y - frame.top + 14}px`;
  }

  function show(number) {
    if (number === current) return;
    current = number;
    const mark = marks[number];
    ring.setAttribute("cx", mark.x);
    ring.setAttribute("cy", mark.y);
    ring.setAttribute("r", (8.5 * view.width) / whole.width);
    ring.setAttribute("visibility", "visible");
    fill(mark);
    tip.hidden = false;
    place(mark);
  }

  function look(next) {
    const share = Math.max(1 / DEEPEST, Math.min(1, next.width / whole.width));
    const [w, h] = [share * whole.width, share * whole.height]; // the shape stays, so the page does not move
    const inside = (low, size, least, all) => Math.max(least, Math.min(low, least + all - size));
    view = {
      x: inside(next.x + (next.width - w) / 2, w, whole.x, whole.width),
      y: inside(next.y + (next.height - h) / 2, h, whole.y, whole.height),
      width: w,
      height: h,
    };
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
    svg.style.setProperty("--zoom", share); // lines and symbols keep their size, so that points come apart
    label ??= tickLabels(svg);
    label(view, share);
    reset.hidden = share === 1;
    box.classList.toggle("near", share < 1);
    hide();
  }

  function zoom(factor, { x, y }) {
    const [w, h] = [view.width * factor, view.height * factor];
    look({ x: x - (x - view.x) * factor, y: y - (y - view.y) * factor, width: w, height: h });
  }

  function nearest(event, reach) {
    let [best, least] = [-1, reach];
    marks.forEach((mark, number) => {
      const at = toScreen(mark);
      const away = Math.hypot(at.x - event.clientX, at.y - event.clientY);
      if (away < least && inView(mark)) [best, least] = [number, away];
    });
    return best;
  }

  function answer(event) {
    const number = nearest(event, event.pointerType === "touch" ? TOUCH_REACH : MOUSE_REACH);
    if (number < 0) hide();
    else show(number);
  }

  // Left and right go along a series, up and down to the nearest point of another one.
  function step(key) {
    if (current < 0) return 0;
    const by = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
    if (key === "ArrowRight" || key === "ArrowLeft") return (current + by + marks.length) % marks.length;
    const here = marks[current];
    const lines = [...new Set(marks.map((mark) => mark.line))];
    const other = lines[(lines.indexOf(here.line) + by + lines.length) % lines.length];
    const away = (number) => (marks[number].line === other ? Math.abs(marks[number].x - here.x) : Infinity);
    return marks.map((_, number) => number).sort((a, b) => away(a) - away(b))[0];
  }

  function press(event) {
    const middle = marks[current] ?? { x: view.x + view.width / 2, y: view.y + view.height / 2 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && marks.length) {
      const number = step(event.key);
      const { x, y } = marks[number];
      if (!inView({ x, y })) look({ ...view, x: x - view.width / 2, y: y - view.height / 2 });
      const past = toScreen({ x, y }).x - scene.getBoundingClientRect().left;
      if (past < 20 || past > scene.clientWidth - 20) scene.scrollLeft += past - scene.clientWidth / 2;
      show(number);
    } else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 0.5 : 2, middle);
    else if (event.key === "Escape" && current >= 0) hide();
    else if (event.key === "Escape" || event.key === "0") look(whole);
    else return;
    event.preventDefault();
  }

  function corners(event) {
    const to = toPlot(event);
    return {
      x: Math.min(from.x, to.x),
      y: Math.min(from.y, to.y),
      width: Math.abs(to.x - from.x),
      height: Math.abs(to.y - from.y),
    };
  }

  function drag(event) {
    if (!from) return answer(event);
    hide();
    pick.setAttribute("visibility", "visible");
    for (const [name, value] of Object.entries(corners(event))) pick.setAttribute(name, value);
  }

  function drop(event) {
    if (!from) return;
    const { x, y, width: w, height: h } = corners(event);
    const far = Math.hypot(event.clientX - from.screen.x, event.clientY - from.screen.y);
    from = null;
    pick.setAttribute("visibility", "hidden");
    if (far < CLICK) return answer(event);
    const fit = Math.max(w, (h * whole.width) / whole.height);
    const tall = (fit * whole.height) / whole.width;
    look({ x: x - (fit - w) / 2, y: y - (tall - h) / 2, width: fit, height: tall });
  }

  // A finger scrolls and pinches the page as everywhere; it only asks for points, by a tap.
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" || event.button) return;
    const { x, y } = toPlot(event);
    from = { x, y, screen: { x: event.clientX, y: event.clientY } };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => event.pointerType !== "touch" && drag(event));
  svg.addEventListener("pointerup", drop);
  svg.addEventListener("pointercancel", () => {
    from = null;
    pick.setAttribute("visibility", "hidden");
  });
  svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && hide());
  svg.addEventListener("click", (event) => event.pointerType === "touch" && answer(event));
  svg.addEventListener("dblclick", () => look(whole));
  svg.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      zoom(Math.exp(event.deltaY / 250), toPlot(event));
    },
    { passive: false }
  );
  scene.addEventListener("keydown", press);
  scene.addEventListener("focus", () => scene.matches(":focus-visible") && marks.length && show(0));
  scene.addEventListener("blur", hide);
  scene.addEventListener("scroll", () => current >= 0 && place(marks[current]));
  reset.addEventListener("click", () => {
    look(whole);
    scene.focus({ preventScroll: true });
  });
  window.addEventListener("resize", hide);
  window.addEventListener("beforeprint", () => look(whole));
  hint.hidden = false;
}

document.querySelectorAll(".plot").forEach(plot);
