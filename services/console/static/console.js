// The console's only script: relative times, countdowns, copying, and the stream.
"use strict";

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function relative(seconds) {
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length || unit === "second") return words.format(Math.round(seconds / length), unit);
  }
  return "";
}

function tick() {
  for (const one of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(one.dateTime);
    if (Number.isNaN(at)) continue;
    one.title = one.dateTime;
    if ("clock" in one.dataset) continue;
    one.textContent = relative((at - Date.now()) / 1000);
  }
}
tick();
setInterval(tick, 1000);

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

const live = document.body.dataset.live;
if (live) listen(live);

function say(text) {
  const line = document.getElementById("stream");
  line.textContent = text;
  line.hidden = !text;
}

function listen(address) {
  const stream = new EventSource(address);
  stream.addEventListener("error", () => say("The stream is lost; reconnecting. What you see may be old."));
  stream.addEventListener("state", (event) => {
    say(JSON.parse(event.data).connected ? "" : "The console has no connection to Kafka; what you see may be old.");
  });
  stream.addEventListener("missed", () => news());
  stream.addEventListener("order", (event) => {
    const id = JSON.parse(event.data).id;
    if ("reload" in document.body.dataset) return reload();
    const row = [...document.querySelectorAll("tr[data-order]")].find((one) => one.dataset.order === id);
    if (row) row.classList.add("changed");
    news();
  });
}

// The list stays as it is until it is asked for: nobody loses the line he was looking at.
function news() {
  if ("reload" in document.body.dataset) return reload();
  const line = document.getElementById("news");
  if (line) { line.hidden = false; line.querySelector("a").href = location.href; }
}

// A page that changes by itself is loaded again, for as long as it says so.
setInterval(() => { if (document.visibilityState === "visible" && document.body.dataset.poll) reload(); }, Number(document.body.dataset.poll) || 60000);

let reloading = null;
async function reload() {
  if (reloading) return;
  reloading = setTimeout(async () => {
    reloading = null;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = [...document.querySelectorAll("details")].map((one) => one.open);
      document.getElementById("main").replaceWith(page.getElementById("main"));
      if (page.body.dataset.poll) document.body.dataset.poll = page.body.dataset.poll;
      else delete document.body.dataset.poll;
      document.querySelectorAll("details").forEach((one, n) => { one.open = open[n] || false; });
      tick();
      reachable();
    } catch {
      say("The page could not be loaded again; what you see may be old.");
    }
  }, 400);
}
