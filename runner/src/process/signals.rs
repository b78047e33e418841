//! Notices that the pod is told to end, and tells that from a program in the pod that pretends so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::descendants::descends_from_us;
use crate::layout::Layout;
use crate::stage::{StageError, exit_code, finish};
use crate::text::say;

/// What this process has been told by signals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals {
    told: Arc<AtomicBool>,
    forged: Arc<AtomicU32>,
}

impl Signals {
    /// Takes over the signals of this process.
    ///
    /// - **Shape:** to be called before any thread is made: threads inherit what is blocked.
    /// - **Guarantees:** when the pod is told to end, the stage does so by itself within `patience`; if it does not, it
    ///   is ended, and leaves the report that says so.
    pub(crate) fn take_over(layout: &Layout, patience: Duration) -> std::io::Result<Self> {
        mask().thread_block()?;
        let source = SignalFd::with_flags(&mask(), SfdFlags::SFD_CLOEXEC)?;
        let signals = Self::default();
        let (noticed, layout) = (signals.clone(), layout.clone());
        std::thread::spawn(move || noticed.listen(&source, &layout, patience));
        Ok(signals)
    }

    fn listen(&self, source: &SignalFd, layout: &Layout, patience: Duration) {
        loop {
            let Ok(Some(signal)) = source.read_signal() else { continue };
            if is_forged(std::process::id(), signal.ssi_pid) {
                self.forged.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.told.store(true, Ordering::Relaxed);
            say("told to end");
            std::thread::sleep(patience);
            let class = FailureClass::Cancelled;
            finish(layout, Err(StageError::new(class, Reason::Terminated, "the pod was told to end")));
            std::process::exit(exit_code(class).into());
        }
    }

    /// Returns whether the pod was told to end.
    pub(super) fn told_to_end(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Returns how often a program has tried to end its judge since this was last asked.
    pub(super) fn forged(&self) -> u32 {
        self.forged.swap(0, Ordering::Relaxed)
    }
}

/// The signals that tell a process to end.
pub(super) fn mask() -> SigSet {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.add(Signal::SIGINT);
    mask
}

/// Returns whether a signal comes from a program in our own pod.
///
/// The first process of a pod sees the number 0 for a sender outside, as the kubelet is.
fn is_forged(own: u32, sender: u32) -> bool {
    sender != 0 && (own == 1 || descends_from_us(sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_outside_of_the_pod_can_tell_it_to_end() {
        assert!(!is_forged(1, 0), "the kubelet");
        assert!(is_forged(1, 17), "a program in the pod");
        assert!(!is_forged(std::process::id(), 1), "a person, outside of any pod");
    }
}
