"use strict";
// Live pages, and questions before what cannot be taken back. Everything works without this file but by reloading.

function follow(address) {
  const source = new EventSource(address);
  const state = document.getElementById("live");
  for (const name of ["panel", "waits"]) {
    source.addEventListener(name, (event) => {
      const place = document.getElementById(name);
      if (!place || busy(place)) return;
      const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.id));
      place.innerHTML = event.data; // made and escaped by the server
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    });
  }
  source.addEventListener("open", () => { if (state) state.textContent = "live"; });
  source.addEventListener("error", () => { if (state) state.textContent = "connecting again …"; });
  source.addEventListener("over", () => { source.close(); if (state) state.textContent = ""; });
}

// Nobody loses what they are typing because something else has changed.
function busy(place) {
  const at = document.activeElement;
  return place.contains(at) && ["INPUT", "TEXTAREA"].includes(at.tagName) && at.value !== "";
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
const watched = document.querySelector("[data-follow]");
if (watched) follow(watched.dataset.follow);
