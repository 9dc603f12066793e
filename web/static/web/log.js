// A log that grows: who looks at its end goes on doing so, who reads further up is left there.
"use strict";
const log = () => document.querySelector(".log");
let place = "end";
function remember() {
  const shown = log();
  if (shown) place = shown.scrollHeight - shown.scrollTop - shown.clientHeight < 8 ? "end" : shown.scrollTop;
}
function restore() {
  const shown = log();
  if (shown) shown.scrollTop = place === "end" ? shown.scrollHeight : place;
}
document.addEventListener("htmx:beforeSwap", remember);
document.addEventListener("htmx:afterSwap", restore);
if (document.querySelector("[hx-trigger]")) restore();
