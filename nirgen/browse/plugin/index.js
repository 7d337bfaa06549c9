// The App keeps the documents of opened samples: a reload of the grid doesn't fetch them anew. This operator of the
// App's own side takes their new state from the operators that have changed them.
(() => {
  const { Operator, OperatorConfig, registerOperator } = window.__foo__;
  const { useUpdateSamples } = window.__fos__;

  class ShowSamples extends Operator {
    get config() {
      return new OperatorConfig({ name: "show_samples", label: "Show samples as they are now", unlisted: true });
    }

    useHooks() {
      return { update: useUpdateSamples() };
    }

    async execute({ hooks, params }) {
      hooks.update(params.samples.map((sample) => [sample._id, sample]));
    }
  }

  registerOperator(ShowSamples, "@nirgen/curation");
})();
