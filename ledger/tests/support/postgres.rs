//! A PostgreSQL server of a test's own: started in a folder that is removed, on a socket in that folder, as a user that is not root.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs a server until its input ends, as it does with the process that started it, however that ends. The arguments are the
/// programs `postgres` and `pg_ctl` and the folder, which stays where the input says so.
const SERVE: &str = r#"
"$1" -D "$3/data" -k "$3" -c listen_addresses= >/dev/null 2>"$3/log" &
read -r line
"$2" stop -m immediate -D "$3/data" >/dev/null 2>&1
wait
[ "$line" = keep ] || rm -rf "$3"
"#;

/// A server that ends with its value, or with the process.
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
        if let Some(mut server) = self.server.take() {
            if let Some(mut input) = server.stdin.take() {
                input.write_all(b"keep\n").unwrap();
            }
            server.wait().unwrap();
        }
    }

    /// Serves the data, and waits until the server answers.
    pub fn serve(&mut self) {
        let mut server = program("/bin/sh");
        server.args(["-c", SERVE, "sh"]).args([find("postgres"), find("pg_ctl")]).arg(self.folder.path());
        self.server = Some(server.stdin(Stdio::piped()).spawn().unwrap());
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
pub fn find(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    versions.sort();
    versions.into_iter().rfind(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
