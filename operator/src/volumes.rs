//! The volumes that the process stores on, and their room.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyworlds_telemetry::{Metrics, VolumeLabel};
use nix::sys::statvfs::statvfs;

use crate::settings::{Role, Settings};

/// The room of a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// What may still be stored.
    pub(crate) free: u64,
    /// All of it.
    pub(crate) size: u64,
}

impl Room {
    /// Measures the volume that a folder is on; nothing where it does not tell.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let volume = statvfs(folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.fragment_size());
        Some(Self { free: bytes(volume.blocks_available()), size: bytes(volume.blocks()) })
    }
}

/// The folders that the process stores in. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Volumes(Arc<[(VolumeLabel, PathBuf)]>);

impl Volumes {
    /// Reads from the settings where the process stores what.
    pub(crate) fn of(settings: &Settings) -> Self {
        let artifacts = settings.has(Role::Api).then(|| settings.artifacts.folder.clone());
        let ledger = settings.gateway.as_ref().and_then(|gateway| ledger_folder(&gateway.ledger));
        let found = [(VolumeLabel::Artifacts, artifacts), (VolumeLabel::Ledger, ledger)];
        Self(found.into_iter().filter_map(|(label, folder)| Some((label, folder?))).collect())
    }

    /// Shows the room of each volume in the metrics.
    pub(crate) async fn show(&self, metrics: &Metrics) {
        let folders = self.0.clone();
        // A volume on the network may keep its caller waiting.
        let measured = tokio::task::spawn_blocking(move || {
            let room = |(label, folder): &(VolumeLabel, PathBuf)| Some((*label, Room::of(folder)?));
            folders.iter().filter_map(room).collect::<Vec<_>>()
        });
        // An error means that the process ends.
        for (label, Room { free, size }) in measured.await.unwrap_or_default() {
            let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            metrics.volume_free.with_label_values(&[label.as_str()]).set(number(free));
            metrics.volume_size.with_label_values(&[label.as_str()]).set(number(size));
        }
    }
}

/// Returns the folder of a ledger that is a SQLite file.
fn ledger_folder(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite://")?.split('?').next()?;
    Path::new(path).parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_no_more_free_than_its_size_and_one_that_is_not_there_has_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let Room { free, size } = Room::of(folder.path()).unwrap();
        assert!(free <= size && size > 0, "{free} of {size}");
        assert_eq!(Room::of(&folder.path().join("missing")), None);
    }

    #[test]
    fn the_ledger_has_a_folder_where_it_is_a_file() {
        assert_eq!(ledger_folder("sqlite:///var/lib/l.db?mode=rwc"), Some(PathBuf::from("/var/lib")));
        assert_eq!(ledger_folder("postgres://user:secret@host/database"), None);
    }
}
