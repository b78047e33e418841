//! The two pods of a World as folders: a real repository, a small server in the operator's place, and the real program.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod operator;

use std::collections::BTreeMap;
use std::fs;
use std::future::ready;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use manyworlds_api::labels;
use manyworlds_api::order_document::{OrderDocument, OrderIdentity};
use manyworlds_api::result::{Collection, StageReport, WorldResult};
use manyworlds_api::work_order::WorkOrderSpec;
use manyworlds_test_support::LIMIT;
use operator::Received;
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

/// The stages of the pod that works.
const WORKING: [&str; 3] = [labels::PREPARE, labels::WORK, labels::COLLECT];

/// The two pods of one World: the one that works, and the one that judges.
pub struct Pod {
    /// The root of the pod that works.
    pub root: TempDir,
    /// The root of the pod that judges.
    pub judging: TempDir,
    pub received: Received,
    url: String,
    world: String,
    order: OrderDocument,
    path: Option<PathBuf>,
    /// What the stages have left for the kubelet.
    reports: Mutex<BTreeMap<String, StageReport>>,
    /// A folder of the pod, empty at first, that the image of worker and gates has first in its `PATH`.
    pub image_path: Option<&'static str>,
    /// What the pod that judges is told to judge, where that is not the World's change.
    pub subject: Option<&'static str>,
    /// The World's disk, as the operator tells `work` and `judge`.
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
        hand_over(repository.folder.path());
        Self {
            url: operator::start(received),
            received: received.clone(),
            world: world.to_owned(),
            order: OrderDocument::new(identity, spec),
            path: None,
            reports: Mutex::default(),
            image_path: None,
            subject: None,
            disk_bytes: None,
            is_ours: false,
            gateway: None,
            wrapper: None,
            _repository: repository.clone(),
            root: pod_root("secret-token"),
            judging: pod_root("judging-token"),
        }
    }

    /// Returns a path of the pod that works.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// Returns a path of the pod that judges.
    pub fn judging_path(&self, path: &str) -> PathBuf {
        self.judging.path().join(path.trim_start_matches('/'))
    }

    fn root_of(&self, stage: &str) -> &Path {
        if WORKING.contains(&stage) { self.root.path() } else { self.judging.path() }
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
        let root = self.root_of(stage);
        let runner = root.join("runner");
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
        let inherited = std::env::var_os("PATH").unwrap();
        let own = self.path.clone().into_iter().chain(self.image_folder(stage));
        command.env("PATH", std::env::join_paths(own.chain(std::env::split_paths(&inherited))).unwrap());
        command
            .arg("--root")
            .arg(root)
            .arg(stage)
            .envs(self.variables(stage))
            .env(labels::ENV_NAMESPACE, "team")
            .env(labels::ENV_WORK_ORDER, "fix")
            .env(labels::ENV_WORLD, &self.world)
            .env(labels::ENV_ATTEMPT, "1")
            .env(labels::ENV_SERVICE_URL, &self.url);
        command
    }

    /// Returns the folder that the image of a stage has first in its `PATH`. The runner's own image has none.
    fn image_folder(&self, stage: &str) -> Option<PathBuf> {
        let is_foreign = matches!(stage, labels::WORK | labels::JUDGE);
        self.image_path.filter(|_| is_foreign).map(|folder| self.root_of(stage).join(folder))
    }

    /// Returns the variables that the operator gives this stage, and not every one.
    fn variables(&self, stage: &str) -> Vec<(&'static str, String)> {
        let order = || (labels::ENV_ORDER, serde_json::to_string(&self.order).unwrap());
        let disk = self.disk_bytes.map(|bytes| (labels::ENV_DISK_BYTES, bytes.to_string()));
        let subject = self.subject.map(|subject| (labels::ENV_SUBJECT, subject.to_owned())).into_iter();
        let reports = self.reports.lock().unwrap();
        let collected = reports.get(labels::COLLECT);
        match stage {
            labels::PREPARE => vec![order()],
            labels::WORK => {
                let gateway = self.gateway.clone().map(|url| (labels::ENV_GATEWAY_URL, url));
                gateway.into_iter().chain(disk).collect()
            }
            labels::CHECKOUT => {
                let collected = collected.and_then(|report| report.base_commit.clone());
                let base = collected.or_else(|| self.received.pinned.lock().unwrap().clone()).unwrap_or_default();
                subject.chain([order(), (labels::ENV_BASE_COMMIT, base)]).collect()
            }
            labels::JUDGE => {
                let worker = collected.and_then(|report| report.worker.as_ref());
                let worker = worker.map(|worker| (labels::ENV_WORKER_REPORT, serde_json::to_string(worker).unwrap()));
                worker.into_iter().chain(disk).chain(subject).collect()
            }
            _ => Vec::new(),
        }
    }

    pub fn run(&self, stage: &str) -> Output {
        self.command(stage).output().unwrap()
    }

    /// Starts a stage and does not wait for it.
    pub fn start(&self, stage: &str) -> Child {
        self.command(stage).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Waits for a stage that was started.
    pub fn ended(&self, stage: &str, runner: &mut Child) -> (i32, StageReport) {
        let status = eventually(|| runner.try_wait().unwrap());
        (status.code().unwrap(), self.report(stage))
    }

    /// Returns what a stage left for the kubelet, if it was the last of its pod.
    pub fn report(&self, stage: &str) -> StageReport {
        let file = self.root_of(stage).join(&labels::TERMINATION_LOG[1..]);
        StageReport::from_message(&fs::read_to_string(file).unwrap()).unwrap()
    }

    /// Runs a stage and returns its exit code and what it left for the kubelet.
    pub fn stage(&self, stage: &str) -> (i32, StageReport) {
        let output = self.run(stage);
        let file = self.root_of(stage).join(&labels::TERMINATION_LOG[1..]);
        let text = fs::read_to_string(file).unwrap_or_else(|_| {
            panic!("no report: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        let report = StageReport::from_message(&text).unwrap();
        self.reports.lock().unwrap().insert(stage.to_owned(), report.clone());
        (output.status.code().unwrap(), report)
    }

    /// Runs stages that end well.
    pub fn succeed(&self, stages: &[&str]) {
        for stage in stages {
            let (code, report) = self.stage(stage);
            assert_eq!(code, 0, "{stage}: {report:?}");
        }
    }

    /// Runs the whole pod that works.
    pub fn works(&self) {
        self.succeed(&WORKING);
    }

    /// Runs the pod that judges, and returns the exit code of its last stage and what that left for the kubelet.
    pub fn judge(&self) -> (i32, StageReport) {
        self.succeed(&[labels::CHECKOUT]);
        self.stage(labels::JUDGE)
    }

    /// Runs both pods and returns the result.
    pub fn result(&self) -> WorldResult {
        self.works();
        let (code, report) = self.judge();
        assert_eq!(code, 0, "{report:?}");
        report.result.unwrap()
    }

    /// Returns what was collected of the worker's.
    pub fn collection(&self) -> Collection {
        let reports = self.reports.lock().unwrap();
        reports.get(labels::COLLECT).and_then(|report| report.collection.clone()).unwrap()
    }

    pub fn artifact(&self, name: &str) -> String {
        let path = self.artifact_path(name);
        let artifacts = self.received.artifacts.lock().unwrap();
        String::from_utf8(artifacts.get(&path).unwrap_or_else(|| panic!("no {path}")).clone()).unwrap()
    }

    /// Puts another artifact into the place of a stored one, as nobody could do.
    pub fn replace_artifact(&self, name: &str, bytes: &[u8]) {
        self.received.artifacts.lock().unwrap().insert(self.artifact_path(name), bytes.to_vec()).unwrap();
    }

    fn artifact_path(&self, name: &str) -> String {
        format!("/v1/worlds/team/fix-{}/1/artifacts/{name}", self.world)
    }
}

/// Makes the folder of a pod, as the kubelet does.
fn pod_root(token: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["dev/shm", "tmp", &labels::TOKEN_DIRECTORY[1..]] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join(&labels::TOKEN_DIRECTORY[1..]).join(labels::TOKEN_FILE), token).unwrap();
    // As in a pod, where the runner's own folder is not writable by others and its user is not root.
    fs::hard_link(env!("CARGO_BIN_EXE_manyworlds-runner"), root.path().join("runner"))
        .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_manyworlds-runner"), root.path().join("runner")).map(drop))
        .unwrap();
    hand_over(root.path());
    root
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
