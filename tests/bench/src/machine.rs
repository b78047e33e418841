//! The machine, and what processes use of it.

use std::path::Path;
use std::{fmt, fs};

use manyworlds_tests::Result;

/// Clock ticks in a second in `/proc/<pid>/stat`: the kernel's interface fixes it (`USER_HZ`).
const TICKS_IN_A_SECOND: f64 = 100.0;

/// The machine of the figures.
pub struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
}

impl Machine {
    /// Reads it from `/proc`.
    pub fn this() -> Self {
        let line = |path: &str, key: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let value = text.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(':'));
            value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: line("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: line("/proc/meminfo", "MemTotal"),
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory, kernel } = self;
        write!(formatter, "{cores} cores of {processor}, {memory} of memory, Linux {kernel}")
    }
}

/// Returns how much processor time a process has used, in seconds.
///
/// # Errors
///
/// When there is no such process.
pub fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may contain spaces; user and system time are the 12th and 13th field behind it.
    let (_, fields) = stat.rsplit_once(')').ok_or("a stat without a name")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_IN_A_SECOND)
}

/// Returns the most memory that a process has had, in MiB.
///
/// # Errors
///
/// When there is no such process.
pub fn peak_memory(pid: u32) -> Result<f64> {
    status(pid, "VmHWM:")
}

/// Returns what memory a process has, in MiB.
///
/// # Errors
///
/// When there is no such process.
pub fn memory(pid: u32) -> Result<f64> {
    status(pid, "VmRSS:")
}

fn status(pid: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(key)).ok_or_else(|| format!("a status without {key}"))?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024.0)
}

/// Processor time of the processes of the control plane, by name.
#[derive(Clone, Default)]
pub struct ControlPlane {
    seconds: Vec<(String, f64)>,
}

impl ControlPlane {
    /// Reads it for the processes whose ids the cluster's folder names; empty where it names none.
    pub fn now(folder: &Path) -> Self {
        let files = fs::read_dir(folder.join("pid")).into_iter().flatten().flatten();
        let seconds = files.filter_map(|file| {
            let pid = fs::read_to_string(file.path()).ok()?.trim().parse().ok()?;
            Some((file.file_name().to_string_lossy().into_owned(), processor_seconds(pid).ok()?))
        });
        Self { seconds: seconds.collect() }
    }

    /// Says how many cores each process has kept busy since `before`, the busiest first.
    pub fn since(&self, before: &Self, elapsed: f64) -> String {
        let mut cores: Vec<(f64, &str)> = self
            .seconds
            .iter()
            .map(|(name, seconds)| {
                let earlier =
                    before.seconds.iter().find(|(other, _)| other == name).map_or(0.0, |(_, seconds)| *seconds);
                ((seconds - earlier) / elapsed, name.as_str())
            })
            .collect();
        cores.sort_by(|one, other| other.0.total_cmp(&one.0));
        let texts: Vec<_> = cores.iter().take(4).map(|(cores, name)| format!("{name} {cores:.2}")).collect();
        texts.join(", ")
    }
}
