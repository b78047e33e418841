//! The World's worktree: a repository of its own whose objects are private, with the mirror behind it (W2).

use crate::files;
use crate::git::{Git, make_repository};
use crate::history;
use crate::layout::Layout;
use crate::order::Identity;
use crate::stage::StageError;

/// Returns the branch that a World works on.
fn branch(identity: &Identity) -> String {
    format!("manyworlds/{}/{}", identity.work_order, identity.world)
}

/// Makes the worktree at a commit.
pub(super) fn make(layout: &Layout, identity: &Identity, base: &str) -> Result<(), StageError> {
    let worktree = layout.worktree(&identity.world, &identity.work_order);
    // An attempt has a pod and volumes of its own, so what is here was left by a container that was started again.
    files::remove(&worktree).map_err(|error| StageError::file(&worktree, &error))?;
    let branch = format!("--initial-branch={}", branch(identity));
    make_repository(&worktree, &layout.mirror(), &worktree.join(".git"), [branch.as_str(), "."])?;
    for (name, value) in [("user.name", "Manyworlds"), ("user.email", "worlds@manyworlds.dev"), ("gc.auto", "0")] {
        Git::new(&worktree, ["config", name, value]).run()?;
    }
    Git::new(&worktree, ["reset", "--quiet", "--hard", base]).run()?;
    history::copy_tags(&layout.mirror(), &worktree)
}
