// The part of nirgen's plugin that runs in the browser: keys, and the new state of samples that were decided.
(() => {
  const { Operator, OperatorConfig, executeOperator, registerOperator, usePromptOperatorInput } = window.__foo__;
  const { activeFields, stores, useUpdateSamples } = window.__fos__;
  const { useSetRecoilState } = window.recoil;
  const PLUGIN = "@nirgen/curation";

  class Unlisted extends Operator {
    get config() {
      return new OperatorConfig({ name: this.constructor.operator, label: this.constructor.operator, unlisted: true });
    }
  }

  // The App keeps the documents of opened samples and of tiles: a reload of the grid doesn't fetch them anew.
  class ShowSamples extends Unlisted {
    static operator = "show_samples";

    useHooks() {
      return { update: useUpdateSamples() };
    }

    async execute({ hooks, params }) {
      hooks.update(params.samples.map((sample) => [sample._id, sample]));
      for (const sample of params.samples) {
        latest.set(sample._id, sample);
        showTags(sample);
        showBoxes(sample._id, 300);
      }
    }
  }

  // A tile draws its badges anew only when the fields to show change, so they are taken away and given back.
  function drawBadges(tile) {
    const { activePaths } = tile.state.options;
    tile.updater({ options: { activePaths: [] } });
    tile.updater({ options: { activePaths } });
  }

  const tilesOf = (id) => [...stores].map(({ lookers }) => lookers.get(id)).filter((tile) => tile?.sample);
  const latest = new Map(); // state by sample
  const changedAt = (sample) => sample.last_modified_at?.datetime ?? 0;

  function showTags(sample) {
    for (const tile of tilesOf(sample._id)) {
      tile.sample = { ...tile.sample, tags: sample.tags };
      drawBadges(tile);
    }
  }

  // Boxes take a while, a tile drops a new state that comes while it draws the one before, and an image that is just
  // being opened has no tile yet, or gets one with the state that it was asked for in.
  function showBoxes(id, delay) {
    for (const tile of tilesOf(id)) {
      if (changedAt(tile.sample) < changedAt(latest.get(id))) tile.updateSample(latest.get(id));
      drawBadges(tile);
    }
    if (delay < 40000) setTimeout(() => showBoxes(id, 2 * delay), delay);
  }

  let keys = {};

  class Begin extends Unlisted {
    static operator = "begin";

    useHooks() {
      return { show: [false, true].map((modal) => useSetRecoilState(activeFields({ modal }))) };
    }

    async execute({ hooks, params }) {
      keys = params.keys;
      const chosen = JSON.parse(sessionStorage.getItem("activeFields"))?.activeFields; // in this window
      if (params.fields && !chosen) hooks.show.forEach((show) => show(params.fields));
    }
  }

  class Ask extends Unlisted {
    static operator = "ask";

    useHooks() {
      return { prompt: usePromptOperatorInput() };
    }

    async execute({ hooks, params }) {
      hooks.prompt(params.operator);
    }
  }

  const WRITING = "input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable=true]";
  const ASKING = "[data-cy=operators-prompt-modal], [role=listbox]";

  function onKey(event) {
    const done = keys[event.key.toLowerCase()];
    if (!done || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest?.(WRITING) || document.querySelector(ASKING)) return;
    if (event.shiftKey && !done.form) return;
    event.preventDefault();
    event.stopPropagation();
    if (done.asks || event.shiftKey) executeOperator(`${PLUGIN}/ask`, { operator: done.operator });
    else executeOperator(done.operator, done.params);
  }

  [ShowSamples, Begin, Ask].forEach((each) => registerOperator(each, PLUGIN));
  window.addEventListener("keydown", onKey, true);
  if (!localStorage.getItem("carousel-height")) localStorage.setItem("carousel-height", "300"); // NIR beside RGB
})();
