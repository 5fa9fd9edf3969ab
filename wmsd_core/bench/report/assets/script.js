// Clips play by themselves (CSS); the buttons stop them, or hold the first or the last frame, which is what is judged.
const modes = ["play", "paused", "first", "last"];
for (const button of document.querySelectorAll("[data-mode]")) {
  button.addEventListener("click", () => {
    document.body.classList.remove(...modes);
    document.body.classList.add(button.dataset.mode);
    document.body.classList.toggle("moving", button.dataset.mode === "play");
    for (const other of document.querySelectorAll("[data-mode]")) {
      other.setAttribute("aria-pressed", String(other.dataset.mode === button.dataset.mode));
    }
  });
}
