//! `tests/cluster/cluster down` on a machine that stopped while the cluster ran: its folder is there, its processes and
//! what they keep elsewhere are not.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use manyworlds_tests::Result;

/// The folder of a real cluster as `up` leaves it, with the ids of processes that are gone.
fn abandoned(folder: &Path) -> Result {
    for part in ["run", "pid", "log"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::write(folder.join("provider"), "modules\n")?;
    fs::write(folder.join("flavour"), "real\n")?;
    fs::write(folder.join("containerd.toml"), "version = 3\n")?;
    for name in
        ["etcd", "apiserver", "controller-manager", "scheduler", "kwok", "containerd", "kubelet", "proxy", "coredns"]
    {
        fs::write(folder.join("run").join(name), "#!/bin/sh\n")?;
        fs::write(folder.join("pid").join(name), "4194304\n")?;
    }
    Ok(())
}

/// Runs the script where it sees no network and none of the machine's own folders of containers and control groups, so
/// that a cluster which runs here loses nothing.
fn down(folder: &Path) -> Result<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/cluster");
    let hidden = "for folder in /var/lib /var/log /run /sys/fs/cgroup; do mount -t tmpfs none $folder || exit 99; done; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", hidden, "sh"])
        .arg(script)
        .arg("down")
        .env("MANYWORLDS_CLUSTER_DIR", folder)
        .output()?;
    Ok(output)
}

#[test]
fn a_cluster_that_ended_with_its_machine_is_taken_down() -> Result {
    let is_root = Command::new("id").arg("-u").output()?.stdout == b"0\n";
    if !(cfg!(target_os = "linux") && is_root) {
        eprintln!("skipped: without root on Linux a cluster has no real node, and so none of what this is about");
        return Ok(());
    }
    let base = tempfile::tempdir()?;
    let folder = base.path().join("cluster");
    abandoned(&folder)?;
    let output = down(&folder)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(!folder.exists(), "the folder is left: {said}");
    Ok(())
}
