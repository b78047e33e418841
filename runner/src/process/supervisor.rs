//! Runs programs that are not trusted, and ends everything that they start.

use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::prctl;
use nix::unistd::Pid;
use process_wrap::std::ChildWrapper;

use super::bounds::Stop;
use super::capture::Capture;
use super::completed::Completed;
use super::descendants;
use super::program::{Processes, Program};
use super::signals::Signals;
use crate::layout::Layout;

/// The time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long a stage may take to end after it was told to: its program's grace and its own report, within the ten seconds
/// that the kubelet gives a pod.
const STAGE_GRACE: Duration = Duration::from_secs(8);

/// Runs programs that are not trusted, one after the other.
#[derive(Debug)]
pub(crate) struct Supervisor {
    signals: Signals,
}

impl Supervisor {
    /// Takes over the signals of this process, and the orphans of its descendants.
    ///
    /// - **Guarantees:** from now on nobody but the kernel can read this process's memory or files under `/proc`.
    pub(crate) fn start(layout: &Layout) -> std::io::Result<Self> {
        prctl::set_dumpable(false)?;
        prctl::set_child_subreaper(true)?;
        Ok(Self { signals: Signals::take_over(layout, STAGE_GRACE)? })
    }

    /// Runs a program to its end, whatever it does. Everything that it started ends with it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn run<C: Capture>(&self, program: Program, capture: C) -> std::io::Result<Completed<C::Output>> {
        program.run_with(self, capture)
    }
}

impl Processes for Supervisor {
    fn grace(&self, why: Stop) -> Duration {
        match why {
            Stop::TimeLimit | Stop::Terminated => GRACE,
            // Every second of grace is one in which it takes more.
            Stop::OutputLimit | Stop::DiskLimit | Stop::FileSizeLimit | Stop::FileCountLimit | Stop::ProcessLimit => {
                Duration::ZERO
            }
        }
    }

    fn maintain(&self, program: Pid) {
        descendants::reap_orphans(program, || self.signals.receive());
    }

    fn termination_requested(&self) -> bool {
        self.signals.termination_requested()
    }

    fn count(&self) -> usize {
        descendants::all().len()
    }

    fn kill(&self, _: Pid) {
        descendants::kill_all();
    }

    fn reap(&self, _: Pid, child: &mut dyn ChildWrapper) -> std::io::Result<(ExitStatus, usize)> {
        self.signals.receive();
        let status = child.wait()?;
        Ok((status, descendants::end_all(|| self.signals.receive())))
    }

    fn forged_signals(&self) -> u32 {
        self.signals.forged()
    }
}
