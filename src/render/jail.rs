//! The jail that renderers run in.
//!
//! A pull request's files are untrusted input to `kustomize` and `helm`.
//! windlass executes itself as a small launcher that takes away what a
//! renderer does not need and then becomes the renderer: files outside of its
//! own folder (Landlock), the network and other processes (seccomp), memory,
//! time and disk (rlimits). No root and no container is needed.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
    path_beneath_rules,
};
use rlimit::Resource;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Go reserves much more address space than it uses.
const MOST_MEMORY: u64 = 4 << 30;
const MOST_SECONDS: u64 = 60;
const MOST_FILE: u64 = 64 << 20;
const MOST_OPEN: u64 = 256;

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

/// Becomes the renderer, jailed. Returns only if that fails.
pub fn enter(args: &JailArgs) -> anyhow::Error {
    let become_it = || -> anyhow::Result<std::io::Error> {
        let (program, arguments) = args.command.split_first().context("no program")?;
        limit().context("cannot limit resources")?;
        let enforced = fence(&args.folder, program).context("cannot fence the file system")?;
        anyhow::ensure!(enforced, "this kernel has no Landlock");
        silence().context("cannot take the network away")?;
        Ok(Command::new(program).args(arguments).current_dir(&args.folder).exec())
    };
    match become_it() {
        Ok(error) => anyhow::Error::from(error).context(format!("cannot execute {}", args.command[0])),
        Err(error) => error,
    }
}

fn limit() -> std::io::Result<()> {
    for (resource, most) in [
        (Resource::AS, MOST_MEMORY),
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

/// True: the kernel sees to it that nothing but the folder, the program and shared libraries can be touched.
fn fence(folder: &PathBuf, program: &str) -> anyhow::Result<bool> {
    let abi = ABI::V4;
    let run = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let libraries = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"];
    let there = libraries.iter().filter(|path| std::path::Path::new(path).exists());
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules([folder], AccessFs::from_all(abi)))?
        .add_rules(path_beneath_rules([program], AccessFs::Execute | AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(there, run))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// System calls that a renderer has no use for fail with EPERM.
fn silence() -> anyhow::Result<()> {
    let denied = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_userfaultfd,
    ];
    let rules: BTreeMap<i64, Vec<_>> = denied.into_iter().map(|call| (call, Vec::new())).collect();
    let errno = u32::try_from(libc::EPERM)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}
