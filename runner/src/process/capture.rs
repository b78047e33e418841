//! Reads the output of a program.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The most bytes that are read at once.
const PART_BYTES: usize = 64 * 1024;
/// The most parts that are read once the program has ended: no pipe holds more. A process that got away may print for ever.
const PARTS_AFTER_END: u32 = 16;
/// The time between two looks of a reader whether the program has ended, in milliseconds.
const INTERVAL_MILLISECONDS: u8 = 20;

/// A stream that a program prints to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, or both where they are merged.
    Output,
    /// Standard error.
    Error,
}

/// Keeps what a program prints, or a part of it.
pub(crate) trait Capture: Send {
    /// The part that is kept.
    type Output;

    /// Takes the next bytes of a stream.
    fn push(&mut self, stream: Stream, bytes: &[u8]);

    /// Returns what was kept, when all has been read.
    fn finish(self) -> Self::Output;
}

/// Keeps nothing.
impl Capture for () {
    type Output = ();

    fn push(&mut self, _: Stream, _: &[u8]) {}

    fn finish(self) {}
}

/// The output of a program that runs, as its readers share it.
pub(super) struct Output<C> {
    capture: Mutex<C>,
    printed: AtomicU64,
    over: AtomicBool,
}

impl<C: Capture> Output<C> {
    pub(super) fn new(capture: C) -> Self {
        Self { capture: Mutex::new(capture), printed: AtomicU64::new(0), over: AtomicBool::new(false) }
    }

    /// Reads a stream until nobody prints to it any more.
    ///
    /// - **Guarantees:** everything that was printed before [`Self::end`] is taken, and soon after it this returns,
    ///   whoever still holds the stream.
    pub(super) fn read(&self, stream: Stream, mut pipe: File) {
        let mut part = vec![0; PART_BYTES];
        let mut left = PARTS_AFTER_END;
        loop {
            let over = self.over.load(Ordering::Acquire);
            let timeout = PollTimeout::from(if over { 0 } else { INTERVAL_MILLISECONDS });
            match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) if over => return,
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) if over && left == 0 => return,
                Ok(_) => left -= u32::from(over),
                Err(_) => return,
            }
            match pipe.read(&mut part) {
                Ok(0) => return,
                Ok(read) => {
                    self.printed.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
                    self.capture.lock().unwrap_or_else(PoisonError::into_inner).push(stream, &part[..read]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Lets the readers stop when they have read what is there.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Returns how many bytes have been read.
    pub(super) fn printed(&self) -> u64 {
        self.printed.load(Ordering::Relaxed)
    }

    /// Returns what was kept.
    pub(super) fn finish(self) -> C::Output {
        self.capture.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }
}
