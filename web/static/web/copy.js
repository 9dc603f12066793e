// Buttons that copy a command. Without JavaScript they stay hidden and the command can be selected.
"use strict";
function showButtons(root) {
  if (navigator.clipboard) root.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const word = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = word; }, 1500);
});
showButtons(document);
document.addEventListener("htmx:load", (event) => showButtons(event.target));
