//! Filters the system calls of a gate, and of everything that it starts: what Landlock does not govern.
//!
//! What is refused fails with `EPERM`, so that a program which only asks whether it may goes on without.

use std::collections::BTreeMap;

use nix::libc;
use nix::unistd::{Pid, getpgid};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Calls that no gate may make.
const REFUSED: &[i64] = &[
    // Reading, writing and steering other processes, and taking what they have open.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    // Parts of the kernel that a gate does not need, and through which kernels are attacked.
    libc::SYS_userfaultfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys are kept by user, so one gate could leave them for the next.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Another view of the files.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    // Another kernel.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
];
/// Calls that send a signal to the process, or to the thread, that their first argument names.
const SIGNALS: &[i64] =
    &[libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo];
/// The flags of calls that make namespaces, as their first argument has them.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// The domain that a program asks for which only wants to know its own.
const QUERIED_PERSONALITY: u64 = 0xffff_ffff;

/// The first number of the calls of x32, which have the architecture of x86-64 and other numbers for the same calls.
const X32_CALLS: u32 = 0x4000_0000;
/// Instruction of a filter: load the number of the call.
const LOAD_NUMBER: u16 = 0x20;
/// Instruction of a filter: go on by whether what is loaded is at least a constant.
const IF_AT_LEAST: u16 = 0x35;
/// Instruction of a filter: end with an answer.
const ANSWER: u16 = 0x06;
/// Answer of a filter: end the process.
const KILL_PROCESS: u32 = 0x8000_0000;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filters on this process, for good.
///
/// - **Shape:** `judge` is the process that no gate may send a signal to.
/// - **Guarantees:** nothing that is started from now on gains rights by starting a program (`no_new_privs`). A call of
///   another architecture than the runner's own ends the process that makes it.
///
/// # Errors
///
/// When the kernel knows no such filters, or the architecture has none here.
pub(super) fn restrict(judge: Pid) -> Result<(), seccompiler::Error> {
    let forbidden = filter(refused(judge)?, libc::EPERM)?;
    // Its flags are in memory, where no filter can look. What libraries do with this answer is to call `clone`.
    let unknown = filter(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    apply_filter(&without_x32(forbidden))?;
    apply_filter(&unknown)
}

fn filter(rules: Rules, error: i32) -> Result<BpfProgram, BackendError> {
    let refusal = SeccompAction::Errno(error.cast_unsigned());
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture)?.try_into()
}

/// Ends who calls by the numbers of x32: the filter does not know them. Jumps are counted from where they stand, so a filter
/// can be put behind others.
fn without_x32(program: BpfProgram) -> BpfProgram {
    if !cfg!(target_arch = "x86_64") {
        return program;
    }
    let instruction = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    let mut whole = vec![
        instruction(LOAD_NUMBER, 0),
        sock_filter { jf: 1, ..instruction(IF_AT_LEAST, X32_CALLS) },
        instruction(ANSWER, KILL_PROCESS),
    ];
    whole.extend(program);
    whole
}

fn refused(judge: Pid) -> Result<Rules, BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    // Everything that goes to the judge, to all processes, or to the judge's group. A group is also reached by 0, from inside.
    let group = getpgid(Some(judge)).unwrap_or(judge);
    for call in SIGNALS {
        for receiver in [judge.as_raw(), 1, -1, -group.as_raw()] {
            let condition = argument(0, Eq, receiver)?;
            rules.entry(*call).or_default().push(SeccompRule::new(vec![condition])?);
        }
    }
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        for flag in NAMESPACES {
            let condition = argument(0, MaskedEq(u64::from(flag.cast_unsigned())), *flag)?;
            rules.entry(call).or_default().push(SeccompRule::new(vec![condition])?);
        }
    }
    // A limit of another process may be read, not set.
    let is_set = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Ne, 0)?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![argument(0, Ne, 0)?, is_set])?]);
    let is_no_query = SeccompCondition::new(0, SeccompCmpArgLen::Dword, Ne, QUERIED_PERSONALITY)?;
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(vec![argument(0, Ne, 0)?, is_no_query])?]);
    Ok(rules)
}

/// Returns a condition on an argument of 32 bits.
fn argument(number: u8, operator: SeccompCmpOp, value: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(number, SeccompCmpArgLen::Dword, operator, u64::from(value.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::errno::Errno;
    use nix::sys::signal::kill;
    use nix::unistd::getpid;

    use super::*;

    /// W14: in a thread of its own, which ends with its filters.
    #[test]
    fn the_judge_gets_no_signal_and_programs_still_start() {
        let judge = getpid();
        std::thread::spawn(move || {
            assert_eq!(kill(judge, None), Ok(()));
            restrict(judge).unwrap();
            for receiver in [judge, Pid::from_raw(-1), Pid::from_raw(1)] {
                assert_eq!(kill(receiver, None), Err(Errno::EPERM), "{receiver}");
            }
            let mut child = Command::new("sleep").arg("600").spawn().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        })
        .join()
        .unwrap();
    }

    #[test]
    fn every_call_has_one_meaning() {
        let rules = refused(getpid()).unwrap();
        assert_eq!(rules.len(), REFUSED.len() + SIGNALS.len() + 4);
        assert!(filter(rules, libc::EPERM).is_ok());
    }
}
