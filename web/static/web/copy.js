// Buttons that copy a command. Without JavaScript they stay hidden and the command can be selected.
"use strict";
function showButtons(root) {
  root.querySelectorAll("[data-copy]").forEach((button) => { button.hidden = false; });
}
async function copy(text) {
  // Browsers offer the clipboard only on https and localhost; many a registry lives on http://name:port.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.className = "offscreen";
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("The browser does not let pages copy.");
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button || button.dataset.word) return;
  button.dataset.word = button.textContent;
  try {
    await copy(button.dataset.copy);
    button.textContent = button.dataset.done;
  } catch {
    button.textContent = "✗";
  }
  button.focus();
  setTimeout(() => { button.textContent = button.dataset.word; delete button.dataset.word; }, 1500);
});
showButtons(document);
document.addEventListener("htmx:load", (event) => showButtons(event.target));
