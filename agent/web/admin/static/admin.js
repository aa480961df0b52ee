"use strict";
// Live pages, the reader's own time zone, and questions before what cannot be taken back.
// Everything works without this file but by reloading.

const LIVE = ["panel", "waits", "newest", "asked"];

function follow(address) {
  const source = new EventSource(address);
  const state = document.getElementById("live");
  const say = (text) => { if (state) state.textContent = text; };
  for (const name of LIVE) source.addEventListener(name, (event) => put(name, event.data));
  source.addEventListener("count", (event) => count(event.data));
  source.addEventListener("open", () => say("live"));
  source.addEventListener("error", () => say(source.readyState === EventSource.CLOSED ? "" : "connecting again …"));
  source.addEventListener("over", () => { source.close(); over = true; say(""); });
  return source;
}

// A browser has few connections to one server: pages that nobody looks at hold none.
let source = null;
let over = false;
const watched = document.querySelector("[data-follow]");
function look() {
  if (!watched || over) return;
  if (document.hidden) { source?.close(); source = null; }
  else if (!source || source.readyState === EventSource.CLOSED) source = follow(watched.dataset.follow);
}

function put(name, text) {
  const place = document.getElementById(name);
  if (!place || busy(place)) return;
  const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.id));
  const at = place.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const scrolled = place.querySelector(".plan")?.scrollLeft;
  place.innerHTML = text; // made and escaped by the server
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  const plan = place.querySelector(".plan");
  if (plan && scrolled) plan.scrollLeft = scrolled;
  if (at) [...place.querySelectorAll("a, button, summary, input")].find((one) => keyOf(one) === at)?.focus();
  local(place);
}

// What tells a control from the others, before and after the page was made anew.
function keyOf(one) {
  const around = one.closest("[id]");
  return [one.tagName, around ? around.id : "", one.getAttribute("href") || one.value || ""].join(" ");
}

// Nobody loses what they are typing because something else has changed.
function busy(place) {
  return [...place.querySelectorAll("input[type=text], textarea")].some((one) => one.value !== one.defaultValue);
}

function count(text) {
  const badge = document.getElementById("count");
  if (!badge) return;
  badge.textContent = text;
  badge.hidden = !text;
}

function local(root) {
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  for (const one of root.querySelectorAll("time[datetime]")) {
    const at = new Date(one.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    if (one.classList.contains("ago")) one.title = full.format(at);
    else { one.title = one.title || one.textContent; one.textContent = full.format(at); }
  }
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
document.addEventListener("visibilitychange", look);
// A step that is pointed at in the picture is opened.
function unfold() {
  const step = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (step && step.tagName === "DETAILS") step.open = true;
}
window.addEventListener("hashchange", unfold);
unfold();
look();
local(document);
const zone = document.querySelector("[data-zone]");
if (zone && !zone.value) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
const here = document.querySelector("nav [aria-current=page]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - 60;
