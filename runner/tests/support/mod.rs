//! A World's pod as a folder: a real repository, a small server in the operator's place, and the real program.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::future::ready;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use manyworlds_api::labels;
use manyworlds_api::order_document::{OrderDocument, OrderIdentity};
use manyworlds_api::result::{StageReport, WorldResult};
use manyworlds_api::work_order::WorkOrderSpec;
use manyworlds_test_support::LIMIT;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A repository with one commit.
#[derive(Clone)]
pub struct Repository {
    folder: Arc<TempDir>,
}

impl Repository {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let repository = Self { folder: Arc::new(tempfile::tempdir().unwrap()) };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit(files);
        repository
    }

    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let file = self.folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "commit"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds a submodule that nobody has filled, as a fetch leaves it.
    pub fn add_submodule(&self, path: &str) {
        let commit = self.git(&["rev-parse", "HEAD"]);
        self.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
        self.git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "submodule"]);
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "safe.directory=*"])
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The requests to the operator.
#[derive(Clone, Default)]
pub struct Received {
    pub artifacts: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub pinned: Arc<Mutex<Option<String>>>,
    /// How many more requests are answered as by an operator that is just being started again.
    pub absences: Arc<AtomicU32>,
    /// The end of the path of an artifact that is refused, because it would go over a bound.
    pub over_quota: Arc<Mutex<Option<&'static str>>>,
    /// The tokens that came with the requests.
    pub tokens: Arc<Mutex<BTreeSet<String>>>,
}

/// Starts a server in the operator's place.
pub fn operator(received: &Received) -> String {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.server_addr());
    let received = received.clone();
    std::thread::spawn(move || {
        for mut request in server.incoming_requests() {
            let mut body = Vec::new();
            request.as_reader().read_to_end(&mut body).unwrap();
            let path = request.url().to_owned();
            let token = request.headers().iter().find(|header| header.field.equiv("Authorization"));
            received.tokens.lock().unwrap().extend(token.map(|header| header.value.to_string()));
            let absent =
                received.absences.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            let response = if absent.is_ok() {
                tiny_http::Response::from_string("no backend").with_status_code(503)
            } else if path.ends_with("/base") {
                let found: Value = serde_json::from_slice(&body).unwrap();
                let mut pinned = received.pinned.lock().unwrap();
                let commit = pinned.get_or_insert_with(|| found["commit"].as_str().unwrap().to_owned());
                tiny_http::Response::from_string(json!({ "commit": commit }).to_string())
            } else if received.over_quota.lock().unwrap().is_some_and(|end| path.ends_with(end)) {
                let error = json!({ "code": "over_quota", "message": "over its bound", "hint": "store less" });
                tiny_http::Response::from_string(json!({ "error": error }).to_string()).with_status_code(413)
            } else {
                received.artifacts.lock().unwrap().insert(path, body);
                tiny_http::Response::from_string("{}").with_status_code(201)
            };
            request.respond(response).unwrap();
        }
    });
    url
}

/// One World's pod.
pub struct Pod {
    pub root: TempDir,
    pub received: Received,
    url: String,
    world: String,
    order: OrderDocument,
    path: Option<PathBuf>,
    /// The World's disk, as the operator tells `evaluate`.
    pub disk_bytes: Option<u64>,
    /// Whether the stages run as the user of the test: ssh does not run under a user without an entry.
    pub is_ours: bool,
    /// Where the gateway is, as the operator tells `work`.
    pub gateway: Option<String>,
    /// Source of a Python program that becomes the stage, when it has done something to itself.
    pub wrapper: Option<&'static str>,
    _repository: Repository,
}

impl Pod {
    /// A pod for an order that differs from the plainest one as `changes` say.
    pub fn new(repository: &Repository, changes: &Value) -> Self {
        Self::of_world("alpha", repository, changes, &Received::default())
    }

    pub fn of_world(world: &str, repository: &Repository, changes: &Value, received: &Received) -> Self {
        let mut spec = json!({
            "source": { "git": { "url": repository.url(), "revision": "main" } },
            "task": { "title": "Fix the sum" },
            "worlds": { "variants": [{ "name": world }] },
            "worker": { "plugin": "command", "command": ["true"], "phaseTimeouts": { "coding": "2m" } },
        });
        merge(&mut spec, changes);
        let spec: WorkOrderSpec = serde_json::from_value(spec).unwrap();
        let identity = OrderIdentity { namespace: "team".to_owned(), name: "fix".to_owned(), uid: "uid".to_owned() };
        let root = tempfile::tempdir().unwrap();
        for folder in ["dev", "tmp", &labels::TOKEN_DIRECTORY[1..]] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let token = root.path().join(&labels::TOKEN_DIRECTORY[1..]).join(labels::TOKEN_FILE);
        fs::write(token, "secret-token").unwrap();
        // As in a pod, where the runner's own folder is not writable by others and its user is not root.
        fs::hard_link(env!("CARGO_BIN_EXE_manyworlds-runner"), root.path().join("runner"))
            .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_manyworlds-runner"), root.path().join("runner")).map(drop))
            .unwrap();
        hand_over(repository.folder.path());
        hand_over(root.path());
        Self {
            url: operator(received),
            received: received.clone(),
            world: world.to_owned(),
            order: OrderDocument::new(identity, spec),
            path: None,
            disk_bytes: None,
            is_ours: false,
            gateway: None,
            wrapper: None,
            _repository: repository.clone(),
            root,
        }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub fn worktree(&self) -> PathBuf {
        self.path(&format!("{}/worktrees/world-{}/fix", labels::WORK_DIRECTORY, self.world))
    }

    /// Puts a Secret where `prepare` finds it.
    pub fn with_secret(self, keys: &[(&str, &str)]) -> Self {
        let folder = self.path(labels::CREDENTIAL_DIRECTORY);
        fs::create_dir_all(&folder).unwrap();
        for (key, value) in keys {
            fs::write(folder.join(key), value).unwrap();
        }
        hand_over(&folder);
        self
    }

    /// Gives the worker a gateway and a token for it.
    pub fn with_gateway(mut self, url: &str, token: &str) -> Self {
        let folder = self.path(labels::GATEWAY_TOKEN_DIRECTORY);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(labels::TOKEN_FILE), token).unwrap();
        hand_over(&folder);
        self.gateway = Some(url.to_owned());
        self
    }

    /// Puts a folder before all others in which programs are looked for.
    pub fn with_programs(mut self, folder: &Path) -> Self {
        self.path = Some(folder.to_owned());
        self
    }

    pub fn command(&self, stage: &str) -> Command {
        let runner = self.root.path().join("runner");
        let mut command = Command::new(if self.wrapper.is_some() { Path::new("python3") } else { &runner });
        if let Some(wrapper) = self.wrapper {
            command
                .arg("-c")
                .arg(format!("{wrapper}\nimport os, sys\nos.execv(sys.argv[1], sys.argv[1:])"))
                .arg(&runner);
        }
        if is_root() && !self.is_ours {
            command.uid(USER).gid(USER);
        }
        if let Some(path) = &self.path {
            command.env("PATH", format!("{}:{}", path.display(), std::env::var("PATH").unwrap()));
        }
        if let (Some(url), "work") = (&self.gateway, stage) {
            command.env(labels::ENV_GATEWAY_URL, url);
        }
        if let Some(bytes) = self.disk_bytes {
            command.env(labels::ENV_DISK_BYTES, bytes.to_string());
        }
        command
            .arg("--root")
            .arg(self.root.path())
            .arg(stage)
            .env(labels::ENV_ORDER, serde_json::to_string(&self.order).unwrap())
            .env(labels::ENV_NAMESPACE, "team")
            .env(labels::ENV_WORK_ORDER, "fix")
            .env(labels::ENV_WORLD, &self.world)
            .env(labels::ENV_ATTEMPT, "1")
            .env(labels::ENV_SERVICE_URL, &self.url);
        command
    }

    pub fn run(&self, stage: &str) -> Output {
        self.command(stage).output().unwrap()
    }

    /// Starts a stage and does not wait for it.
    pub fn start(&self, stage: &str) -> Child {
        self.command(stage).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Waits for a stage that was started.
    pub fn ended(&self, runner: &mut Child) -> (i32, StageReport) {
        let status = eventually(|| runner.try_wait().unwrap());
        (status.code().unwrap(), self.report())
    }

    /// Returns what the last stage left for the kubelet.
    pub fn report(&self) -> StageReport {
        StageReport::from_message(&fs::read_to_string(self.path(labels::TERMINATION_LOG)).unwrap()).unwrap()
    }

    /// Runs a stage and returns its exit code and what it left for the kubelet.
    pub fn stage(&self, stage: &str) -> (i32, StageReport) {
        let output = self.run(stage);
        let text = fs::read_to_string(self.path(labels::TERMINATION_LOG)).unwrap_or_else(|_| {
            panic!("no report: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        (output.status.code().unwrap(), StageReport::from_message(&text).unwrap())
    }

    /// Runs the whole pod and returns the result.
    pub fn result(&self) -> WorldResult {
        for stage in ["prepare", "work"] {
            let (code, report) = self.stage(stage);
            assert_eq!(code, 0, "{stage}: {report:?}");
        }
        let (code, report) = self.stage("evaluate");
        assert_eq!(code, 0, "{report:?}");
        report.result.unwrap()
    }

    pub fn artifact(&self, name: &str) -> String {
        let path = format!("/v1/worlds/team/fix-{}/1/artifacts/{name}", self.world);
        let artifacts = self.received.artifacts.lock().unwrap();
        String::from_utf8(artifacts.get(&path).unwrap_or_else(|| panic!("no {path}")).clone()).unwrap()
    }
}

/// Waits until there is something, or fails the test.
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let found = manyworlds_test_support::eventually("there is something", LIMIT, || ready(look()));
    runtime.block_on(found).unwrap()
}

/// Tells a stage to end, as the kubelet does.
pub fn tell_to_end(runner: &Child) {
    let pid = nix::unistd::Pid::from_raw(runner.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
}

/// The user of a World's processes.
pub const USER: u32 = 10_001;

/// Returns whether the test runs as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Gives a folder to the user of a World's processes. As root, a test would show less than it seems to: root may read
/// what a World may not.
pub fn hand_over(folder: &Path) {
    if !is_root() {
        return;
    }
    std::os::unix::fs::lchown(folder, Some(USER), Some(USER)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            hand_over(&entry.path());
        } else if entry.file_name() != "runner" {
            std::os::unix::fs::lchown(entry.path(), Some(USER), Some(USER)).unwrap();
        }
    }
}

/// Puts one JSON value over another.
fn merge(target: &mut Value, changes: &Value) {
    match (target, changes) {
        (Value::Object(target), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(target.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
        (target, changes) => target.clone_from(changes),
    }
}

/// Returns a worker that is a shell script.
pub fn script(text: &str) -> Value {
    json!({ "worker": { "plugin": "command", "command": ["sh", "-c", text] } })
}

/// Returns a worker and gates that are shell scripts; the gates share the points.
pub fn gated(worker: &str, gates: &[(&str, &str)]) -> Value {
    let points = 100 / gates.len().max(1);
    let gates: Vec<Value> = gates
        .iter()
        .map(|(name, command)| {
            json!({ "name": name, "kind": "Custom", "command": ["sh", "-c", command], "points": points, "timeout": "2m" })
        })
        .collect();
    let mut changes = script(worker);
    merge(&mut changes, &json!({ "evaluation": { "gates": gates } }));
    changes
}

pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
