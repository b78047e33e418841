//! Objects of System V: shared memory, semaphores and message queues. They outlive the programs that made them.

use std::collections::HashSet;
use std::fs;
use std::ptr::null_mut;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::getuid;

/// The kinds of objects, and the files in which the kernel lists them.
const KINDS: [(Kind, &str); 3] =
    [(Kind::Memory, "/proc/sysvipc/shm"), (Kind::Semaphores, "/proc/sysvipc/sem"), (Kind::Queue, "/proc/sysvipc/msg")];
/// Place of an object's number in a line of such a file.
const NUMBER: usize = 1;
/// Names of the columns with the user that an object belongs to, and the one that made it.
const USERS: [&str; 2] = ["uid", "cuid"];

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Memory,
    Semaphores,
    Queue,
}

/// An object that this user may remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SharedObject {
    kind: Kind,
    number: i32,
}

/// Returns the objects of this user. There are none where the kernel does not know such objects.
pub(super) fn ours() -> HashSet<SharedObject> {
    let user = getuid().as_raw();
    let list = |(kind, file): (Kind, &str)| {
        let table = fs::read_to_string(file).unwrap_or_default();
        numbers(&table, user).into_iter().map(move |number| SharedObject { kind, number })
    };
    KINDS.into_iter().flat_map(list).collect()
}

/// Returns the numbers of a user's objects in one of the kernel's tables, whose first line names the columns.
fn numbers(table: &str, user: u32) -> Vec<i32> {
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let places: Vec<usize> = USERS.iter().filter_map(|name| columns.iter().position(|column| column == name)).collect();
    let number = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = places.iter().any(|place| fields.get(*place).is_some_and(|field| field.parse() == Ok(user)));
        fields.get(NUMBER)?.parse().ok().filter(|_| is_ours)
    };
    lines.filter_map(number).collect()
}

impl SharedObject {
    /// Removes it. One that has gone already is no error.
    #[expect(
        unsafe_code,
        reason = "these calls have no safe form; they get numbers and, where nothing is passed, no pointer"
    )]
    pub(super) fn remove(self) -> nix::Result<()> {
        let Self { kind, number } = self;
        // SAFETY: with `IPC_RMID` the kernel neither reads nor writes through the last argument.
        let result = unsafe {
            match kind {
                Kind::Memory => libc::shmctl(number, libc::IPC_RMID, null_mut()),
                Kind::Semaphores => libc::semctl(number, 0, libc::IPC_RMID),
                Kind::Queue => libc::msgctl(number, libc::IPC_RMID, null_mut()),
            }
        };
        match Errno::result(result) {
            Ok(_) | Err(Errno::EINVAL | Errno::EIDRM) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_known_by_owner_and_by_maker() {
        let table = "       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid  cgid\n\
                     \x20        0          7   600         64    12    12      0 10001 10001 10001 10001\n\
                     \x20        0          8   600         64    12    12      0     0     0 10001 10001\n\
                     \x20    10001      10001   600         64    12    12      0     0     0     0     0\n";
        assert_eq!(numbers(table, 10_001), [7, 8]);
        assert_eq!(numbers("", 10_001), [] as [i32; 0]);
    }

    #[test]
    fn what_has_gone_already_needs_no_removal() {
        let gone = |kind| SharedObject { kind, number: i32::MAX };
        for kind in [Kind::Memory, Kind::Semaphores, Kind::Queue] {
            assert_eq!(gone(kind).remove(), Ok(()), "{kind:?}");
        }
    }
}
