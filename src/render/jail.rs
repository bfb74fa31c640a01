//! The jail that renderers run in.
//!
//! A pull request's files are untrusted input to `kustomize` and `helm`.
//! windlass executes itself as a small launcher, which gives up what a renderer
//! does not need and then executes the renderer. Landlock restricts it to its
//! own folder. seccomp allows only the system calls that a renderer makes: no
//! sockets, no other process, no signal to one. rlimits bound memory, time and
//! disk. When the machine runs out of memory, the kernel kills the renderer
//! first. Neither root nor a container is needed.
//!
//! If the kernel has no Landlock, the other restrictions still apply. Renderers
//! should then run in a container of their own ([`super::run::serve`]).

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope, path_beneath_rules,
};
use rlimit::Resource;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Address space. Go reserves much more of it than it uses.
const MOST_MEMORY: u64 = 4 << 30;
/// Writable memory.
const MOST_DATA: u64 = 1 << 30;
const MOST_SECONDS: u64 = 60;
const MOST_FILE: u64 = 64 << 20;
const MOST_OPEN: u64 = 256;

/// System calls that are allowed whatever their arguments are.
const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getcwd,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fadvise64,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_set_tid_address,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_delete,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getpgid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The launcher executes the renderer by this call; Landlock decides which programs can be
    // executed.
    libc::SYS_execve,
];

/// Older system calls, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER_CALLS: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_arch_prctl,
    libc::SYS_getrlimit,
    libc::SYS_getpgrp,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER_CALLS: &[i64] = &[];

/// The option of prctl(2) that gives a memory area a name.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// `windlass jail`: not for people.
#[derive(Debug, clap::Args)]
pub struct JailArgs {
    /// The folder that may be read and written
    #[arg(long)]
    folder: PathBuf,
    /// The program, and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Replaces this process by the jailed renderer. Returns only if that fails.
pub fn enter(args: &JailArgs) -> anyhow::Error {
    let become_renderer = || -> anyhow::Result<std::io::Error> {
        let (program, arguments) = args.command.split_first().context("no program")?;
        // If memory runs out, the kernel kills the renderer and not windlass.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        limit().context("cannot limit resources")?;
        restrict_fs(&args.folder, program).context("cannot fence the file system")?;
        deny_syscalls().context("cannot restrict system calls")?;
        Ok(Command::new(program)
            .args(arguments)
            .current_dir(&args.folder)
            .exec())
    };
    match become_renderer() {
        Ok(error) => {
            anyhow::Error::from(error).context(format!("cannot execute {}", args.command[0]))
        }
        Err(error) => error,
    }
}

fn limit() -> std::io::Result<()> {
    for (resource, most) in [
        (Resource::AS, MOST_MEMORY),
        (Resource::DATA, MOST_DATA),
        (Resource::CPU, MOST_SECONDS),
        (Resource::FSIZE, MOST_FILE),
        (Resource::NOFILE, MOST_OPEN),
        (Resource::CORE, 0),
    ] {
        let (_, hard) = resource.get()?;
        let most = most.min(hard);
        resource.set(most, most)?;
    }
    Ok(())
}

/// Allows access to the folder, the program and shared libraries only, and no signal to other
/// processes, as far as this kernel's Landlock can enforce that.
fn restrict_fs(folder: &PathBuf, program: &str) -> anyhow::Result<()> {
    let abi = ABI::V6;
    let run = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let libraries = [
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/etc/ld.so.cache",
    ];
    let there = libraries.iter().filter(|path| Path::new(path).exists());
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules([folder], AccessFs::from_all(abi)))?
        .add_rules(path_beneath_rules(
            [program],
            AccessFs::Execute | AccessFs::ReadFile,
        ))?
        .add_rules(path_beneath_rules(there, run))?
        .restrict_self()?;
    Ok(())
}

/// Allows the system calls of a renderer: files, memory, threads, time, waiting. All others fail
/// with EPERM.
fn deny_syscalls() -> anyhow::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS
        .iter()
        .chain(OLDER_CALLS)
        .map(|call| (*call, Vec::new()))
        .collect();
    rules.extend(conditional_calls()?);
    let errno = u32::try_from(libc::EPERM)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(errno),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

/// System calls that are allowed only with certain arguments.
fn conditional_calls() -> anyhow::Result<[(i64, Vec<SeccompRule>); 5]> {
    let is = |argument: u8, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let masked = |argument: u8, mask: u64| {
        SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask),
            mask,
        )
        .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    let own = u64::from(std::process::id());
    Ok([
        // New threads, but no new processes.
        (
            libc::SYS_clone,
            vec![masked(0, u64::try_from(libc::CLONE_THREAD)?)?],
        ),
        // Signals to itself: Go preempts its own threads by them.
        (libc::SYS_tgkill, vec![is(0, own)?]),
        // Its own limits, which it can read and only lower.
        (libc::SYS_prlimit64, vec![is(0, 0)?]),
        // isatty(3).
        (libc::SYS_ioctl, vec![is(1, libc::TCGETS)?]),
        // Names of threads and of memory areas.
        (
            libc::SYS_prctl,
            vec![
                is(0, u64::try_from(libc::PR_SET_NAME)?)?,
                is(0, u64::try_from(libc::PR_GET_NAME)?)?,
                is(0, PR_SET_VMA)?,
            ],
        ),
    ])
}

/// `windlass escape`, run in the jail: tries ways out of it and returns those that worked, as a JSON list.
pub fn escape() -> String {
    let mut ways = Vec::new();
    let mut tried = |way: &str, open: bool| {
        if open {
            ways.push(way.to_string());
        }
    };
    for file in [
        "/etc/passwd",
        "/proc/1/environ",
        "/proc/self/environ",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ] {
        tried(&format!("read {file}"), std::fs::read(file).is_ok());
    }
    tried("list /", std::fs::read_dir("/").is_ok());
    tried(
        "write outside of its folder",
        std::fs::write("../escaped", "").is_ok(),
    );
    // Any other error, such as a refused connection, means that a socket could be opened.
    let denied = |error: std::io::Error| error.raw_os_error() == Some(libc::EPERM);
    tried(
        "open a connection",
        !std::net::TcpStream::connect(("127.0.0.1", 1)).is_err_and(denied),
    );
    tried(
        "open a socket",
        !std::os::unix::net::UnixDatagram::unbound().is_err_and(denied),
    );
    tried(
        "start a process",
        !Command::new("/bin/true").spawn().is_err_and(denied),
    );
    let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap_or_default();
    tried(
        "limit another process",
        rlimit::prlimit(parent, Resource::CORE, Some((0, 0)), None).is_ok(),
    );
    serde_json::to_string(&ways).unwrap_or_default()
}
