// The console's only script: relative times, countdowns, copying, and the stream.
"use strict";

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const words = new Intl.RelativeTimeFormat("en", { style: "short" });

function relative(seconds) {
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length || unit === "second") return words.format(Math.round(seconds / length), unit);
  }
  return "";
}

// The answer to a form that was sent: its address is one that Back and reload can ask for, without sending the form once more.
if ("posted" in document.body.dataset) history.replaceState(null, "", location.href);

// What is left until a deadline, its two largest units: 14 min 29 s.
function left(seconds) {
  if (seconds <= 0) return "now due";
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.max(0, parts.findIndex(([, length]) => seconds >= length));
  let rest = Math.floor(seconds);
  const told = parts.slice(first, first + 2).map(([unit, length]) => {
    const count = Math.floor(rest / length);
    rest -= count * length;
    return `${count} ${unit}`;
  });
  return `${told.join(" ")} left`;
}

function tick() {
  for (const one of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(one.dateTime);
    if (Number.isNaN(at)) continue;
    one.title = one.dateTime;
    if ("clock" in one.dataset) continue;
    const text = ("countdown" in one.dataset ? left : relative)((at - Date.now()) / 1000);
    if (one.textContent !== text) one.textContent = text;
  }
}
tick();
setInterval(tick, 1000);

// On a telephone the pages' names are moved sideways: the present one is in sight.
for (const one of document.querySelectorAll("header nav [aria-current], .chips [aria-current]")) {
  one.parentElement.scrollLeft = one.offsetLeft - one.parentElement.offsetLeft - 40;
}

// What has to be moved sideways can be reached by keys, and nothing else can.
function reachable() {
  for (const one of document.querySelectorAll(".scroll, .card")) {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
    else one.removeAttribute("tabindex");
  }
}
reachable();
addEventListener("resize", reachable);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
  } catch {
    button.textContent = "not copied";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1200);
});

// From the catalogue into the order's lines; the same again is one more of it.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add]");
  const lines = document.querySelector("textarea[name=items]");
  if (!button || !lines) return;
  const sku = button.dataset.add;
  const told = lines.value.split(/[\n,]/).map((one) => one.trim()).filter(Boolean);
  const at = told.findIndex((one) => one.slice(0, one.lastIndexOf(":")) === sku);
  if (at < 0) told.push(`${sku}:1`);
  else told[at] = `${sku}:${(Number(told[at].slice(sku.length + 1)) || 0) + 1}`;
  lines.value = told.join("\n");
});

const live = document.body.dataset.live;
if (live) listen(live);
if (document.body.dataset.again) setTimeout(() => location.reload(), Number(document.body.dataset.again));

function say(text) {
  const line = document.getElementById("stream");
  line.textContent = text;
  line.hidden = !text;
}

// A browser takes up a stream that broke by itself; one that is answered with an error, or with the log-in page, it gives up.
function listen(address) {
  const stream = new EventSource(address);
  let heard = "";
  stream.addEventListener("error", async () => {
    say("The stream is lost; reconnecting. What you see may be old.");
    if (stream.readyState !== EventSource.CLOSED) return;
    const again = new URL(address, location.href);
    if (heard) again.searchParams.set("since", heard);
    if (await loggedOut()) say("Your log-in has ended. Load the page again to log in.");
    else setTimeout(() => listen(again.href), 5000);
  });
  stream.addEventListener("state", (event) => {
    heard = event.lastEventId || heard;
    say(JSON.parse(event.data).connected ? "" : "The console has no connection to Kafka; what you see may be old.");
  });
  stream.addEventListener("missed", () => news());
  stream.addEventListener("order", (event) => {
    const id = JSON.parse(event.data).id;
    if ("reload" in document.body.dataset) return reload();
    if (rowOf(document, id)) freshen(id);
    else news();
  });
}

async function loggedOut() {
  try {
    return (await fetch(location.href, { headers: { Accept: "text/html" } })).redirected;
  } catch {
    return false;
  }
}

// The list stays as it is until it is asked for: nobody loses the line he was looking at.
function news() {
  if ("reload" in document.body.dataset) return reload();
  const line = document.getElementById("news");
  if (line) { line.hidden = false; line.querySelector("a").href = location.href; }
}

async function fetched(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(answer.status);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function rowOf(page, id) {
  return [...page.querySelectorAll("tr[data-order]")].find((one) => one.dataset.order === id);
}

// The lines that are shown tell what is so now, each in its place; what no longer belongs there stays, and is marked.
const changed = new Set();
let freshening = null;
function freshen(id) {
  changed.add(id);
  freshening ??= setTimeout(async () => {
    freshening = null;
    const ids = [...changed];
    changed.clear();
    try {
      const page = await fetched(location.href);
      // What newer orders have pushed off the page, or what no longer fits, is asked for by its id.
      const off = ids.filter((one) => rowOf(document, one) && !rowOf(page, one));
      const apart = off.length ? await fetched(`/rows?${new URLSearchParams([...new URLSearchParams(location.search), ...off.map((one) => ["id", one])])}`) : page;
      for (const one of ids) {
        const [row, fresh] = [rowOf(document, one), rowOf(page, one) || rowOf(apart, one)];
        if (!row) continue;
        row.classList.add("changed");
        row.classList.toggle("gone", !fresh || fresh.classList.contains("gone"));
        if (fresh) [...fresh.cells].forEach((cell, n) => { if (n > 0) row.cells[n].replaceChildren(...cell.childNodes); });
      }
      if (off.length) news();
      tick();
    } catch {
      news();
    }
  }, 700 + Math.random() * 600);
}

// Parts of the page that take longer are asked for once the page is there, and again now and then (not those that say `once`, unless
// nobody answered); their links stay where nobody answers.
const asking = new Set();
function parts() {
  if (document.visibilityState === "visible") document.querySelectorAll("[data-part]").forEach(fill);
}
async function fill({ dataset: { part, from, once, state } }) {
  if (asking.has(part) || (once !== undefined && state === "")) return;
  asking.add(part);
  put("asking");
  try {
    const answer = await fetch(part, { headers: { Accept: "text/html" } });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(from);
    if (!answer.ok || answer.redirected || !found) throw new Error(answer.status);
    const back = held();
    place()?.querySelector(".part").replaceChildren(...found.childNodes);
    back();
    put("");
  } catch {
    put("silent");
  }
  asking.delete(part);

  // The page may have been loaded again meanwhile: the place that is there now.
  function place() {
    return document.querySelector(`[data-part="${CSS.escape(part)}"]`);
  }
  function put(now) {
    const found = place();
    if (found) found.dataset.state = now;
  }
}
parts();
setInterval(parts, 15000);

// A page that changes by itself is loaded again, for as long as it says so.
setInterval(() => { if (document.visibilityState === "visible" && document.body.dataset.poll) reload(); }, Number(document.body.dataset.poll) || 60000);

// What a key or a button of the mouse is being pressed on has to be there until it is let go: else nothing would come of it.
const pressed = new Set();
for (const [down, up] of [["keydown", "keyup"], ["pointerdown", "pointerup"], ["pointerdown", "pointercancel"]]) {
  addEventListener(down, () => pressed.add(down), true);
  addEventListener(up, () => pressed.delete(down), true);
}
addEventListener("blur", () => pressed.clear());

// By what an element is known again on the page that is loaded in its place: what it does, and its number among those that do the same.
const does = ["id", "href", "name", "value", "data-copy", "data-part"];
function marks(one) {
  return [one.tagName, ...does.map((name) => one.getAttribute(name) || "")].join("\n");
}
function alike(one) {
  return [...document.getElementById("main").querySelectorAll(one.tagName)].filter((other) => marks(other) === marks(one));
}
function held() {
  const [main, one] = [document.getElementById("main"), document.activeElement];
  if (!one || !main.contains(one)) return () => {};
  const at = alike(one).indexOf(one);
  return () => {
    const again = one === main ? null : alike(one)[at];
    const place = again || document.getElementById("main");
    // What had the keys is gone: they go on from the content, not from the head of the page.
    if (!again) place.tabIndex = -1;
    place.focus({ preventScroll: true });
  };
}

// How far the page, and what can be moved within it, has been moved.
const movable = ".scroll, .card, pre, .road";
function moved() {
  const [x, y] = [scrollX, scrollY];
  const places = [...document.querySelectorAll(movable)].map((one) => [one.scrollLeft, one.scrollTop]);
  return () => {
    document.querySelectorAll(movable).forEach((one, n) => { if (places[n]) [one.scrollLeft, one.scrollTop] = places[n]; });
    scrollTo(x, y);
  };
}

let reloading = null;
async function reload() {
  if (reloading) return;
  reloading = setTimeout(async () => {
    reloading = null;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (pressed.size) return reload();
      const back = [held(), moved()];
      const open = [...document.querySelectorAll("details")].map((one) => one.open);
      const told = new Map([...document.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one.querySelector(".part")]));
      document.getElementById("main").replaceWith(page.getElementById("main"));
      document.querySelectorAll("[data-part]").forEach((one) => { if (told.has(one.dataset.part)) one.querySelector(".part").replaceWith(told.get(one.dataset.part)); });
      parts();
      if (page.body.dataset.poll) document.body.dataset.poll = page.body.dataset.poll;
      else delete document.body.dataset.poll;
      document.querySelectorAll("details").forEach((one, n) => { one.open = open[n] || false; });
      tick();
      reachable();
      back.forEach((put) => put());
    } catch {
      say("The page could not be loaded again; what you see may be old.");
    }
  }, 400);
}
