//! Notices that the pod is told to end, and tells that from a program in the pod that pretends so.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use manyworlds_api::conditions::Reason;
use manyworlds_api::result::FailureClass;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::descendants::descends_from_us;
use crate::layout::Layout;
use crate::stage::{StageError, exit_code, finish};
use crate::text::print_line;

/// The time between two looks of the listener whether somebody else has taken the signal, in milliseconds.
const INTERVAL_MILLISECONDS: u8 = 100;

/// The signals to end that this process gets.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    source: Arc<SignalFd>,
    received: Arc<Mutex<Received>>,
}

#[derive(Debug, Default)]
struct Received {
    /// Whether the pod was told to end.
    terminated: bool,
    /// The number that came from a program in the pod.
    forged: u32,
}

impl Signals {
    /// Takes over the signals of this process.
    ///
    /// - **Shape:** to be called before any thread is made: threads inherit what is blocked.
    /// - **Guarantees:** when the pod is told to end, the stage does so by itself within `grace`; if it does not, it
    ///   is ended, and leaves the report that says so.
    pub(crate) fn take_over(layout: &Layout, grace: Duration) -> std::io::Result<Self> {
        mask().thread_block()?;
        let source = SignalFd::with_flags(&mask(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let signals = Self { source: Arc::new(source), received: Arc::default() };
        let (listener, layout) = (signals.clone(), layout.clone());
        std::thread::spawn(move || listener.listen(&layout, grace));
        Ok(signals)
    }

    fn listen(&self, layout: &Layout, grace: Duration) {
        while !self.termination_requested() {
            // Where waiting is interrupted there is nothing yet.
            let _ = poll(
                &mut [PollFd::new(self.source.as_fd(), PollFlags::POLLIN)],
                PollTimeout::from(INTERVAL_MILLISECONDS),
            );
            self.receive();
        }
        print_line("told to end");
        std::thread::sleep(grace);
        let class = FailureClass::Cancelled;
        finish(layout, Err(StageError::new(class, Reason::Terminated, "the pod was told to end")));
        std::process::exit(exit_code(class).into());
    }

    /// Receives the signals that have come so far.
    ///
    /// - **Shape:** to be called before a process is reaped: of one that is gone nobody knows whether it was ours.
    pub(super) fn receive(&self) {
        let mut received = self.received();
        while let Ok(Some(signal)) = self.source.read_signal() {
            if is_forged(std::process::id(), signal.ssi_code, signal.ssi_pid) {
                received.forged += 1;
            } else {
                received.terminated = true;
            }
        }
    }

    /// Returns whether the pod was told to end.
    pub(super) fn termination_requested(&self) -> bool {
        self.received().terminated
    }

    /// Returns how often a program has tried to end its judge since this was last asked.
    pub(super) fn forged(&self) -> u32 {
        self.receive();
        std::mem::take(&mut self.received().forged)
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals that tell a process to end, and those that end one that has not thought of them.
fn mask() -> SigSet {
    [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
    ]
    .into_iter()
    .collect()
}

/// Returns whether a signal comes from a program in our own pod.
///
/// The first process of a pod sees the number 0 for a sender outside, as the kubelet is. Who queues a signal with a code below
/// zero writes the sender's number himself, so that one counts as a program's, whatever number it has.
fn is_forged(own: u32, code: i32, sender: u32) -> bool {
    code < 0 || sender != 0 && (own == 1 || descends_from_us(sender))
}

#[cfg(test)]
mod tests {
    use nix::libc::{SI_QUEUE, SI_USER};

    use super::*;

    #[test]
    fn only_who_is_outside_of_the_pod_can_tell_it_to_end() {
        assert!(!is_forged(1, SI_USER, 0), "the kubelet");
        assert!(is_forged(1, SI_USER, 17), "a program in the pod");
        assert!(is_forged(1, SI_QUEUE, 0), "a program in the pod that has written the number itself");
        assert!(!is_forged(std::process::id(), SI_USER, 1), "a person, outside of any pod");
    }
}
