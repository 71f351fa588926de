"use strict";
// Plots: tooltips and zoom. Without script they are images.

const MOUSE_DISTANCE = 32; // largest distance in pixels at which a point shows its tooltip
const TOUCH_DISTANCE = 48;
const CLICK_DISTANCE = 6; // a drag shorter than this, in pixels, is a click
const MAX_ZOOM = 16;

function element(name, className, text) {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text; // never as HTML: names come from users
  return node;
}

function hiddenShape(name, className, svg) {
  const node = document.createElementNS(svg.namespaceURI, name);
  node.setAttribute("class", className);
  node.setAttribute("visibility", "hidden");
  return svg.appendChild(node);
}

// Keep the tick labels of a zoomed plot at their size, and at the edge of the view if their axis is outside.
function tickLabels(svg) {
  const ticks = [...svg.querySelectorAll(".panel")].flatMap((panel) => {
    const frame = panel.querySelector("path").getBBox(); // the background is drawn first
    const texts = [...panel.querySelectorAll(".x-tick, .y-tick")];
    return texts.map((text) => ({ text, frame, box: text.getBBox() }));
  });
  for (const { text } of ticks) svg.append(text); // above the lines

  return (view, scale) => {
    const [right, bottom] = [view.x + view.width, view.y + view.height];
    for (const { text, frame, box } of ticks) {
      const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
      let position, visible;
      if (text.classList.contains("x-tick")) {
        const axis = frame.y + frame.height;
        position = [x, Math.min(axis + scale * (y - axis), bottom - scale * (box.height / 2 + 4))];
        visible = x > view.x && x < right && frame.y < bottom && axis > view.y;
      } else {
        position = [Math.max(frame.x + scale * (x - frame.x), view.x + scale * (box.width / 2 + 4)), y];
        visible = y > view.y && y < bottom && frame.x < right && frame.x + frame.width > view.x;
      }
      text.setAttribute("transform", `translate(${position}) scale(${scale}) translate(${-x} ${-y})`);
      text.setAttribute("visibility", visible ? "visible" : "hidden");
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
  const ring = hiddenShape("circle", "ring", svg);
  const selection = hiddenShape("rect", "selection", svg);
  let view = whole;
  let current = -1; // index of the point with the tooltip
  let placeLabels = null; // set at the first zoom
  let dragStart = null;

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

  // Place the tooltip above the point if there is room, otherwise below, within the edges of the plot.
  function place(mark) {
    const point = toScreen(mark);
    const frame = box.getBoundingClientRect();
    const largestLeft = frame.width - tip.offsetWidth - 4;
    const above = point.y - frame.top - tip.offsetHeight - 14;
    tip.style.left = `${Math.max(4, Math.min(point.x - frame.left - tip.offsetWidth / 2, largestLeft))}px`;
    tip.style.top = `${point.y - tip.offsetHeight - 20 > 0 ? above : point.y - frame.top + 14}px`;
  }

  function show(index) {
    if (index === current) return;
    current = index;
    const mark = marks[index];
    ring.setAttribute("cx", mark.x);
    ring.setAttribute("cy", mark.y);
    ring.setAttribute("r", (8.5 * view.width) / whole.width);
    ring.setAttribute("visibility", "visible");
    fill(mark);
    tip.hidden = false;
    place(mark);
  }

  function setView(next) {
    const scale = Math.max(1 / MAX_ZOOM, Math.min(1, next.width / whole.width));
    const [w, h] = [scale * whole.width, scale * whole.height]; // same aspect ratio: the page does not move
    const clamp = (start, size, min, total) => Math.max(min, Math.min(start, min + total - size));
    view = {
      x: clamp(next.x + (next.width - w) / 2, w, whole.x, whole.width),
      y: clamp(next.y + (next.height - h) / 2, h, whole.y, whole.height),
      width: w,
      height: h,
    };
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
    svg.style.setProperty("--zoom", scale); // lines and symbols keep their size, so that points separate
    placeLabels ??= tickLabels(svg);
    placeLabels(view, scale);
    reset.hidden = scale === 1;
    box.classList.toggle("zoomed", scale < 1);
    hide();
  }

  function zoom(factor, { x, y }) {
    const [w, h] = [view.width * factor, view.height * factor];
    setView({ x: x - (x - view.x) * factor, y: y - (y - view.y) * factor, width: w, height: h });
  }

  function nearest(event, maxDistance) {
    let [best, smallest] = [-1, maxDistance];
    marks.forEach((mark, index) => {
      const point = toScreen(mark);
      const distance = Math.hypot(point.x - event.clientX, point.y - event.clientY);
      if (distance < smallest && inView(mark)) [best, smallest] = [index, distance];
    });
    return best;
  }

  function showNearest(event) {
    const index = nearest(event, event.pointerType === "touch" ? TOUCH_DISTANCE : MOUSE_DISTANCE);
    if (index < 0) hide();
    else show(index);
  }

  // Return the next point: left and right move along a series, up and down to the nearest point of another.
  function nextPoint(key) {
    if (current < 0) return 0;
    const step = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
    if (key === "ArrowRight" || key === "ArrowLeft") return (current + step + marks.length) % marks.length;
    const mark = marks[current];
    const lines = [...new Set(marks.map(({ line: number }) => number))];
    const line = lines[(lines.indexOf(mark.line) + step + lines.length) % lines.length];
    const distance = (index) => (marks[index].line === line ? Math.abs(marks[index].x - mark.x) : Infinity);
    return marks.map((_, index) => index).sort((a, b) => distance(a) - distance(b))[0];
  }

  function onKey(event) {
    const centre = marks[current] ?? { x: view.x + view.width / 2, y: view.y + view.height / 2 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && marks.length) {
      const index = nextPoint(event.key);
      const { x, y } = marks[index];
      if (!inView({ x, y })) setView({ ...view, x: x - view.width / 2, y: y - view.height / 2 });
      const left = toScreen({ x, y }).x - scene.getBoundingClientRect().left;
      if (left < 20 || left > scene.clientWidth - 20) scene.scrollLeft += left - scene.clientWidth / 2;
      show(index);
    } else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 0.5 : 2, centre);
    else if (event.key === "Escape" && current >= 0) hide();
    else if (event.key === "Escape" || event.key === "0") setView(whole);
    else return;
    event.preventDefault();
  }

  function rectangle(event) {
    const end = toPlot(event);
    return {
      x: Math.min(dragStart.x, end.x),
      y: Math.min(dragStart.y, end.y),
      width: Math.abs(end.x - dragStart.x),
      height: Math.abs(end.y - dragStart.y),
    };
  }

  function drag(event) {
    if (!dragStart) return showNearest(event);
    hide();
    selection.setAttribute("visibility", "visible");
    for (const [name, value] of Object.entries(rectangle(event))) selection.setAttribute(name, value);
  }

  function drop(event) {
    if (!dragStart) return;
    const { x, y, width: w, height: h } = rectangle(event);
    const distance = Math.hypot(event.clientX - dragStart.screen.x, event.clientY - dragStart.screen.y);
    dragStart = null;
    selection.setAttribute("visibility", "hidden");
    if (distance < CLICK_DISTANCE) return showNearest(event);
    const fitWidth = Math.max(w, (h * whole.width) / whole.height);
    const fitHeight = (fitWidth * whole.height) / whole.width;
    setView({ x: x - (fitWidth - w) / 2, y: y - (fitHeight - h) / 2, width: fitWidth, height: fitHeight });
  }

  // A finger scrolls and pinches the page as usual; a tap shows a tooltip.
  svg.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" || event.button) return;
    const { x, y } = toPlot(event);
    dragStart = { x, y, screen: { x: event.clientX, y: event.clientY } };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => event.pointerType !== "touch" && drag(event));
  svg.addEventListener("pointerup", drop);
  svg.addEventListener("pointercancel", () => {
    dragStart = null;
    selection.setAttribute("visibility", "hidden");
  });
  svg.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && hide());
  svg.addEventListener("click", (event) => event.pointerType === "touch" && showNearest(event));
  svg.addEventListener("dblclick", () => setView(whole));
  svg.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      zoom(Math.exp(event.deltaY / 250), toPlot(event));
    },
    { passive: false }
  );
  scene.addEventListener("keydown", onKey);
  scene.addEventListener("focus", () => scene.matches(":focus-visible") && marks.length && show(0));
  scene.addEventListener("blur", hide);
  scene.addEventListener("scroll", () => current >= 0 && place(marks[current]));
  reset.addEventListener("click", () => {
    setView(whole);
    scene.focus({ preventScroll: true });
  });
  window.addEventListener("resize", hide);
  window.addEventListener("beforeprint", () => setView(whole));
  hint.hidden = false;
}

document.querySelectorAll(".plot").forEach(plot);
