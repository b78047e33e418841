//! A PostgreSQL server of a test's own: started in a folder that is removed, on a socket in that folder, as a user that is not root.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server that ends with the test.
pub struct Postgres {
    folder: TempDir,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("manyworlds-postgres").tempdir_in("/tmp").unwrap();
        let data = folder.path().join("data");
        if as_root() {
            assert!(Command::new("chown").args(["postgres", &text(folder.path())]).status().unwrap().success());
        }
        let made = program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut started = Self { folder, server: None };
        started.serve();
        started
    }

    /// Ends the server as a failure does, and leaves its data.
    pub fn stop(&mut self) {
        let data = text(&self.folder.path().join("data"));
        // Told to end at once; of a server that has ended already there is nothing to tell.
        let _ = program("pg_ctl").args(["stop", "-m", "immediate", "-D", &data]).output();
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }

    /// Has the data served, and waits until the server answers.
    pub fn serve(&mut self) {
        let folder = self.folder.path();
        let server = program("postgres")
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-k", &text(folder), "-c", "listen_addresses="])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn();
        self.server = Some(server.unwrap());
        let end = Instant::now() + Duration::from_secs(30);
        while !self.sql("postgres", "SELECT 1") {
            assert!(Instant::now() < end, "PostgreSQL did not start; is the package postgresql whole?");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes an empty database and returns its URL.
    pub fn database(&self, name: &str) -> String {
        assert!(self.sql("postgres", &format!("CREATE DATABASE {name}")));
        let socket = text(self.folder.path()).replace('/', "%2F");
        format!("postgres://postgres@{socket}/{name}")
    }

    /// Carries out a statement, and returns whether it went well.
    pub fn sql(&self, database: &str, statement: &str) -> bool {
        let socket = text(self.folder.path());
        let mut client = program("psql");
        client.args(["-h", &socket, "-U", "postgres", "-q", "-d", database, "-c", statement]);
        client.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing of it may be left when the folder goes.
        self.stop();
    }
}

/// PostgreSQL refuses to run as root, so root becomes the user that its package made.
fn program(name: &str) -> Command {
    let path = find(name);
    if !as_root() {
        return Command::new(path);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(path).current_dir("/tmp");
    command
}

fn as_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// Debian keeps the server's programs out of the path.
fn find(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    versions.sort();
    versions.into_iter().rfind(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
