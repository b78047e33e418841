//! How long the texts of an order may be together, as CEL rules of its spec.
//!
//! With the bounds on single fields no order has more than 256 KiB, so that its pods fit into the API server and many
//! orders into the operator. A rule that is evaluated on all variants is refused by the API server where the schema
//! allows too much, so the bounds of single fields are part of this.

/// All commands: at most 40 KiB.
pub(super) const COMMANDS: &str = "[has(self.worker.command) ? self.worker.command.map(c, size(bytes(c))).sum() : 0, \
    self.worlds.variants.map(v, has(v.worker) && has(v.worker.command) ? v.worker.command.map(c, size(bytes(c))).sum() : 0).sum(), \
    self.evaluation.gates.map(g, has(g.command) ? g.command.map(c, size(bytes(c))).sum() : 0).sum(), \
    self.evaluation.gates.map(g, has(g.canary) ? g.canary.passing.command.map(c, size(bytes(c))).sum() : 0).sum(), \
    self.evaluation.gates.map(g, has(g.canary) ? g.canary.failing.command.map(c, size(bytes(c))).sum() : 0).sum()].sum() <= 40960";

/// The task's body and all prompts, stances and environments: at most 168 KiB.
pub(super) const TEXTS: &str = "[has(self.task.body) ? size(bytes(self.task.body)) : 0, \
    has(self.worker.env) ? self.worker.env.map(e, size(bytes(e.name)) + size(bytes(e.value))).sum() : 0, \
    self.worlds.variants.map(v, has(v.prompt) ? size(bytes(v.prompt)) : 0).sum(), \
    self.worlds.variants.map(v, has(v.worker) && has(v.worker.env) ? v.worker.env.map(e, size(bytes(e.name)) + size(bytes(e.value))).sum() : 0).sum(), \
    has(self.council) ? self.council.voters.map(v, has(v.stance) ? size(bytes(v.stance)) : 0).sum() : 0].sum() <= 172032";
