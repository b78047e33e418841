//! A real OpenSSH server on a port of its own, with a bare repository behind it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::support::{Repository, eventually, is_root};

/// A server that lets one key in.
pub struct SshServer {
    folder: TempDir,
    port: u16,
    daemon: Child,
}

impl SshServer {
    pub fn start(repository: &Repository) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["host", "reader"] {
            make_key(&folder.path().join(name));
        }
        succeeds(
            Command::new("git")
                .args(["-c", "safe.directory=*", "clone", "--quiet", "--bare"])
                .args([repository.url(), at("repository.git")]),
        );
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
            at("host"),
            at("reader.pub")
        );
        fs::write(at("settings"), settings).unwrap();
        if is_root() {
            // The start script of the package makes it; as root the server asks for it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let daemon = Command::new(program()).args(["-D", "-f", &at("settings")]).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { folder, port, daemon };
        eventually(|| TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }

    /// The address of its repository.
    pub fn url(&self) -> String {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        format!("ssh://{}@127.0.0.1:{}{}/repository.git", user.trim(), self.port, self.folder.path().display())
    }

    /// The key that it lets in.
    pub fn key(&self) -> String {
        fs::read_to_string(self.folder.path().join("reader")).unwrap()
    }

    /// Another key.
    pub fn strangers_key(&self) -> String {
        let path = self.folder.path().join("stranger");
        make_key(&path);
        fs::read_to_string(path).unwrap()
    }

    /// What `known_hosts` says of it.
    pub fn known_hosts(&self) -> String {
        self.known_hosts_with("host")
    }

    /// What `known_hosts` would say of it if its key were another one.
    pub fn outdated_known_hosts(&self) -> String {
        self.known_hosts_with("reader")
    }

    fn known_hosts_with(&self, key: &str) -> String {
        let public = fs::read_to_string(self.folder.path().join(key).with_extension("pub")).unwrap();
        format!("[127.0.0.1]:{} {public}", self.port)
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        // A server that has gone already needs no end.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn make_key(path: &Path) {
    succeeds(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path));
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns where the server's program is: it asks to be started by its whole path, which is seldom in `PATH`.
fn program() -> PathBuf {
    let places = std::env::var("PATH").unwrap();
    let mut places = std::env::split_paths(&places).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = places.find_map(|folder| Some(folder.join("sshd")).filter(|path| path.exists()));
    found.unwrap_or_else(|| panic!("sshd is missing; install the package openssh-server (tests/packages does as root)"))
}
