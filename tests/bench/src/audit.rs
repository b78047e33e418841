//! The API server's audit log: who asked for what.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyworlds_tests::Result;
use serde::Deserialize;

/// For how long a user must have asked for nothing until it counts as done. Far more than any wait of the operator
/// between two writes of an order that is being worked on.
const QUIET: Duration = Duration::from_secs(3);

/// The log, as a file that grows.
#[derive(Clone)]
pub struct Audit {
    path: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy)]
pub struct Mark(u64);

/// The requests of a user, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Creations, updates, patches and deletions of all but Events and Leases.
    pub writes: u32,
    /// Writes of Events.
    pub events: u32,
    /// Gets, lists and beginnings of watches.
    pub reads: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectReference>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectReference {
    #[serde(default)]
    resource: String,
}

impl Audit {
    /// Opens the log.
    ///
    /// # Errors
    ///
    /// When there is none: the cluster was started without `--audit`.
    pub fn new(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Err(format!(
                "there is no audit log {}; start the cluster with `tests/cluster/cluster up --fake 20 --audit`",
                path.display()
            )
            .into());
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Returns the end of the log as it is now.
    ///
    /// # Errors
    ///
    /// When the file is gone.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(fs::metadata(&self.path)?.len()))
    }

    /// Counts what a user has asked for since a place in the log.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn since(&self, mark: Mark, user: &str) -> Result<Requests> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(mark.0))?;
        let mut requests = Requests::default();
        for line in BufReader::new(file).lines() {
            // The last line may be half written; and what is no entry of that user is not worth reading.
            let line = line?;
            if line.contains(user)
                && let Ok(entry) = serde_json::from_str::<Entry>(&line)
                && entry.user.username == user
            {
                requests.count(&entry);
            }
        }
        Ok(requests)
    }

    /// Counts what a user asks for from a place in the log until it asks for nothing more.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub async fn until_quiet(&self, mark: Mark, user: &str) -> Result<Requests> {
        let (mut requests, mut changed) = (self.since(mark, user)?, Instant::now());
        while changed.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.since(mark, user)?;
            if now != requests {
                (requests, changed) = (now, Instant::now());
            }
        }
        Ok(requests)
    }
}

impl Requests {
    fn count(&mut self, entry: &Entry) {
        let resource = entry.object_ref.as_ref().map_or("", |object| object.resource.as_str());
        match (entry.verb.as_str(), entry.stage.as_str()) {
            ("watch", "ResponseStarted") => self.reads += 1,
            (_, stage) if stage != "ResponseComplete" => {}
            ("get" | "list", _) => self.reads += 1,
            ("create" | "update" | "patch" | "delete" | "deletecollection", _) => match resource {
                "events" => self.events += 1,
                "leases" => {}
                _ => self.writes += 1,
            },
            _ => {}
        }
    }
}
