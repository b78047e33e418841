//! What a program prints: read line by line, cleaned, and kept up to a limit.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manyworlds_masking::Filter;

use crate::text::{LONGEST_LINE, clean, say};

/// How long the last lines may take to arrive once everything that could print has been ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first and the last lines of an output: what test programs sum up stands at its end.
#[derive(Debug, Default)]
struct Kept {
    head: String,
    tail: VecDeque<String>,
    tail_bytes: usize,
    left_out: usize,
}

impl Kept {
    /// Takes a line, and returns whether it is among the first ones, which are shown as they come.
    fn push(&mut self, line: &str, most: usize) -> bool {
        let half = most / 2;
        if self.tail.is_empty() && self.head.len() + line.len() < half {
            self.head.push_str(line);
            self.head.push('\n');
            return true;
        }
        self.tail_bytes += line.len() + 1;
        self.tail.push_back(line.to_owned());
        while self.tail_bytes > half
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.len() + 1;
            self.left_out += 1;
        }
        false
    }

    /// Returns the first lines, and those that come after them.
    fn parts(&self) -> (&str, Vec<String>) {
        let mark = (self.left_out > 0).then(|| format!("... {} lines are left out ...", self.left_out));
        (&self.head, mark.into_iter().chain(self.tail.iter().cloned()).collect())
    }
}

/// The output of a program that runs.
pub(super) struct Output {
    kept: Arc<Mutex<Kept>>,
    done: Receiver<usize>,
    readers: usize,
}

impl Output {
    /// Reads what a program prints, and shows as much of it as may be kept.
    pub(super) fn collect(child: &mut Child, most: usize, secrets: &Filter) -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (sender, done) = channel();
        let streams: Vec<Box<dyn Read + Send>> = [
            child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        .collect();
        let readers = streams.len();
        for stream in streams {
            let (kept, sender, secrets) = (kept.clone(), sender.clone(), secrets.clone());
            std::thread::spawn(move || read_lines(stream, most, &secrets, &kept, &sender));
        }
        Self { kept, done, readers }
    }

    /// Returns what was kept, and how many bytes there were altogether.
    pub(super) fn finish(self) -> (String, usize) {
        let mut printed = 0;
        for _ in 0..self.readers {
            printed += self.done.recv_timeout(PATIENCE).unwrap_or(0);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (head, rest) = kept.parts();
        let mut text = head.to_owned();
        for line in rest {
            say(&line);
            text.push_str(&line);
            text.push('\n');
        }
        (text, printed)
    }
}

fn read_lines(stream: Box<dyn Read + Send>, most: usize, secrets: &Filter, kept: &Mutex<Kept>, done: &Sender<usize>) {
    let mut reader = BufReader::new(stream);
    let mut printed = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(count) => printed += count,
        }
        let text = secrets.masked(&clean(String::from_utf8_lossy(&line).trim_end_matches('\n')));
        if kept.lock().unwrap_or_else(PoisonError::into_inner).push(&text, most) {
            say(&text);
        }
    }
    // Nobody waits for it any more once the patience is over.
    let _ = done.send(printed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_lines_are_kept() {
        let mut kept = Kept::default();
        let shown = (0..1000).filter(|number| kept.push(&format!("line {number}"), 200)).count();
        let (head, rest) = kept.parts();
        assert!(head.starts_with("line 0\n") && head.lines().count() == shown, "{head}");
        assert!(rest[0].contains("lines are left out"), "{rest:?}");
        assert_eq!(rest.last().unwrap(), "line 999");
        assert!(head.len() + rest.iter().map(String::len).sum::<usize>() < 250);
    }

    #[test]
    fn a_short_output_is_kept_whole() {
        let mut kept = Kept::default();
        assert!(kept.push("one", 200) && kept.push("two", 200));
        assert_eq!(kept.parts(), ("one\ntwo\n", Vec::new()));
    }
}
