"use strict";

function moveTo(slider, share) {
  const value = Math.round(Math.min(100, Math.max(0, share)) * 10) / 10;
  slider.style.setProperty("--at", value + "%");
  slider.setAttribute("aria-valuenow", String(value));
  slider.setAttribute("aria-valuetext", Math.round(value) + " % " + slider.dataset.left);
}

function follow(slider, event) {
  const frame = slider.getBoundingClientRect();
  moveTo(slider, (100 * (event.clientX - frame.left)) / frame.width);
}

for (const slider of document.querySelectorAll(".slider")) {
  slider.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    follow(slider, event);
  });
  slider.addEventListener("pointermove", (event) => {
    if (slider.hasPointerCapture(event.pointerId)) follow(slider, event);
  });
  slider.addEventListener("keydown", (event) => {
    const now = Number(slider.getAttribute("aria-valuenow"));
    const step = event.shiftKey ? 10 : 2;
    const targets = {
      ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step,
      PageDown: now - 10, PageUp: now + 10, Home: 0, End: 100,
    };
    if (!(event.key in targets) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    moveTo(slider, targets[event.key]);
  });
}

const toggles = document.querySelectorAll(".toggle");
for (const toggle of toggles) {
  toggle.addEventListener("change", () => {
    document.body.classList.toggle("no-boxes", !toggle.checked);
    for (const other of toggles) other.checked = toggle.checked;
  });
}

const dialog = document.querySelector("dialog");
for (const button of document.querySelectorAll(".enlarge")) {
  button.addEventListener("click", () => {
    const figure = button.parentElement;
    const shown = [button.querySelector(".shot"), figure.querySelector("figcaption")].map((part) => part.cloneNode(true));
    dialog.querySelector(".big").replaceChildren(...shown);
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
