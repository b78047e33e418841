//! A program with its bounds, and the loop that runs it.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use process_wrap::std::{ChildWrapper, CommandWrap, ResetSigmask};

use super::bounds::{Bounds, MOST_PROCESSES, Stop, limit_reached};
use super::capture::{Capture, Output, Stream};
use super::completed::Completed;
use super::descendants::has_ended;

/// The time between killing a program and killing it again.
const KILL_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest and the longest time between two looks at a program.
const INTERVALS: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(10));
/// The shortest time between two measurements of disk and processes.
const MEASURE_INTERVAL: Duration = Duration::from_millis(500);
/// How many times longer than a measurement the wait for the next one is: of a large tree it takes a while, and the
/// processor is the program's.
const MEASURE_SHARE: u32 = 20;

/// A program to run, with its bounds.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    bounds: Bounds,
    streams: Streams,
    input: Stdio,
}

/// Whether standard output and standard error are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Streams {
    Apart,
    /// They come in the order in which they were printed.
    Merged,
}

/// The processes of a program, as far as they are kept track of.
pub(super) trait Processes {
    /// Returns how long they have between being told to end and being killed.
    fn grace(&self, why: Stop) -> Duration;
    /// Reaps those that have ended while the program still runs.
    fn maintain(&self, program: Pid);
    /// Returns whether they are to end because the pod is.
    fn termination_requested(&self) -> bool;
    /// Returns how many there are, where that is bounded.
    fn count(&self) -> usize;
    /// Kills them.
    fn kill(&self, program: Pid);
    /// Waits for a program that has ended, and ends the others. Returns how many those were.
    fn reap(&self, program: Pid, child: &mut dyn ChildWrapper) -> std::io::Result<(ExitStatus, usize)>;
    /// Returns how often one of them told this program to end.
    fn forged_signals(&self) -> u32;
}

/// The process group of a program. A process that leaves the group gets away.
struct Group;

impl Processes for Group {
    fn grace(&self, _: Stop) -> Duration {
        Duration::ZERO
    }

    fn maintain(&self, _: Pid) {}

    fn termination_requested(&self) -> bool {
        false
    }

    fn count(&self) -> usize {
        0
    }

    fn kill(&self, program: Pid) {
        // A group that has gone by itself needs no signal.
        let _ = killpg(program, Signal::SIGKILL);
    }

    fn reap(&self, program: Pid, child: &mut dyn ChildWrapper) -> std::io::Result<(ExitStatus, usize)> {
        // As long as the program is not reaped, no other group can have its number.
        self.kill(program);
        Ok((child.wait()?, 0))
    }

    fn forged_signals(&self) -> u32 {
        0
    }
}

impl Program {
    /// A program that is to keep to its bounds.
    pub(crate) fn new(command: Command, bounds: Bounds) -> Self {
        Self { command, bounds, streams: Streams::Apart, input: Stdio::null() }
    }

    /// Takes standard error as a part of standard output.
    pub(crate) fn with_streams_merged(mut self) -> Self {
        self.streams = Streams::Merged;
        self
    }

    /// Gives it a file to read as its standard input.
    pub(crate) fn with_input(mut self, input: File) -> Self {
        self.input = input.into();
        self
    }

    /// Runs it to its end. Its process group ends with it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn run<C: Capture>(self, capture: C) -> std::io::Result<Completed<C::Output>> {
        self.run_with(&Group, capture)
    }

    /// Runs it to its end, and ends all of its processes.
    pub(super) fn run_with<C: Capture>(
        self,
        processes: &impl Processes,
        capture: C,
    ) -> std::io::Result<Completed<C::Output>> {
        let started = Instant::now();
        let Self { command, bounds, streams, input } = self;
        let Started { mut child, pipes } = Started::new(command, streams, input)?;
        let output = Output::new(capture);
        let (open, closed) = channel::<Infallible>();
        let ended = thread::scope(|scope| {
            for (stream, pipe) in pipes {
                let (output, open) = (&output, open.clone());
                scope.spawn(move || {
                    output.read(stream, pipe);
                    drop(open);
                });
            }
            drop(open);
            let printed = || output.printed();
            let ended = Watch { bounds: &bounds, processes, started }.run(&mut *child, printed, &closed);
            output.end();
            ended
        });
        let Exit { status, stopped, elapsed, left_behind } = ended?;
        let (exit_code, signal) = (status.code(), status.signal());
        let usage = bounds.disk.as_ref().map(|disk| (disk, disk.usage()));
        let stopped = stopped.or_else(|| limit_reached(exit_code, signal, left_behind, usage));
        let printed = output.printed();
        let stopped = stopped.or_else(|| too_much(printed, bounds.output_bytes));
        let forged_signals = processes.forged_signals();
        let output = output.finish();
        Ok(Completed { exit_code, signal, stopped, elapsed, output, printed, left_behind, forged_signals })
    }
}

/// A program that runs in a process group of its own, and what it prints to.
struct Started {
    child: Box<dyn ChildWrapper>,
    pipes: Vec<(Stream, File)>,
}

impl Started {
    /// Starts a program.
    ///
    /// - **Guarantees:** this process holds no writing end of a pipe afterwards, which would keep it from its end. The
    ///   signals that it has blocked stay blocked meanwhile: the program may send one with its first instruction, and
    ///   one that is let through to the first process of a pod is lost. The program itself has none blocked.
    fn new(mut command: Command, streams: Streams, input: Stdio) -> std::io::Result<Self> {
        command.process_group(0).stdin(input);
        let merged = match streams {
            Streams::Apart => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                None
            }
            Streams::Merged => {
                let (reader, writer) = std::io::pipe()?;
                command.stdout(writer.try_clone()?).stderr(writer);
                Some(reader)
            }
        };
        let mut child = CommandWrap::from(command).wrap(ResetSigmask).spawn()?;
        let pipes: [(Stream, Option<OwnedFd>); 3] = [
            (Stream::Output, merged.map(OwnedFd::from)),
            (Stream::Output, child.stdout().take().map(OwnedFd::from)),
            (Stream::Error, child.stderr().take().map(OwnedFd::from)),
        ];
        let pipes = pipes.into_iter().filter_map(|(stream, pipe)| Some((stream, File::from(pipe?)))).collect();
        Ok(Self { child, pipes })
    }
}

/// The end of a program, as its watch found it.
struct Exit {
    status: ExitStatus,
    stopped: Option<Stop>,
    elapsed: Duration,
    left_behind: usize,
}

/// Watches over one run of a program.
struct Watch<'a, P> {
    bounds: &'a Bounds,
    processes: &'a P,
    started: Instant,
}

impl<P: Processes> Watch<'_, P> {
    /// Waits for a program, and ends it when it reaches a limit.
    ///
    /// - **Shape:** `closed` is disconnected when nothing can be printed any more.
    fn run(
        &self,
        child: &mut dyn ChildWrapper,
        printed: impl Fn() -> u64,
        closed: &Receiver<Infallible>,
    ) -> std::io::Result<Exit> {
        let program = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let (mut stopped, mut kill_at) = (None, None);
        let mut measure_at = self.started + MEASURE_INTERVAL;
        let mut interval = INTERVALS.0;
        loop {
            if has_ended(program) {
                let elapsed = self.started.elapsed();
                let (status, left_behind) = self.processes.reap(program, child)?;
                return Ok(Exit { status, stopped, elapsed, left_behind });
            }
            self.processes.maintain(program);
            let now = Instant::now();
            if stopped.is_none() {
                stopped = self.exceeded(now, printed()).or_else(|| self.measure(now, &mut measure_at));
                kill_at = stopped.map(|why| now + self.tell_to_end(program, why));
            }
            if kill_at.is_some_and(|time| now >= time) {
                self.processes.kill(program);
                kill_at = Some(now + KILL_INTERVAL);
            }
            // A program that ends closes its output, which is known at once.
            if closed.recv_timeout(INTERVALS.1) == Err(RecvTimeoutError::Disconnected) {
                thread::sleep(interval);
                interval = (interval * 2).min(INTERVALS.1);
            }
        }
    }

    /// Returns the limit that the program has reached, of those that need no measuring.
    fn exceeded(&self, now: Instant, printed: u64) -> Option<Stop> {
        if self.processes.termination_requested() {
            Some(Stop::Terminated)
        } else if now.duration_since(self.started) >= self.bounds.time {
            Some(Stop::TimeLimit)
        } else {
            too_much(printed, self.bounds.output_bytes)
        }
    }

    /// Measures disk and processes when that is due, and returns the limit that the program has reached.
    fn measure(&self, now: Instant, measure_at: &mut Instant) -> Option<Stop> {
        if now < *measure_at {
            return None;
        }
        let found = if self.processes.count() > MOST_PROCESSES {
            Some(Stop::ProcessLimit)
        } else {
            self.bounds.disk.as_ref().and_then(|disk| disk.exceeded(disk.usage()))
        };
        *measure_at = Instant::now() + MEASURE_INTERVAL.max(now.elapsed() * MEASURE_SHARE);
        found
    }

    /// Sends TERM where the program has time to end by itself, and returns that time.
    fn tell_to_end(&self, program: Pid, why: Stop) -> Duration {
        let grace = self.processes.grace(why);
        if !grace.is_zero() {
            // A process that is gone already needs no signal.
            let _ = killpg(program, Signal::SIGTERM);
        }
        grace
    }
}

fn too_much(printed: u64, most: Option<u64>) -> Option<Stop> {
    most.filter(|most| printed > *most).map(|_| Stop::OutputLimit)
}
