//! The controllers of Flux and Argo CD: where they are, and how they are started.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use windlass::sandbox::process::Server;
use windlass::sandbox::tools;

use crate::support::plane;

/// What the folder's name is made of; the `Makefile` computes the same.
const SOURCES: [&[u8]; 7] = [
    include_bytes!("modules/flux/go.mod"),
    include_bytes!("modules/flux/go.sum"),
    include_bytes!("modules/helm/go.mod"),
    include_bytes!("modules/helm/go.sum"),
    include_bytes!("modules/argocd/go.mod"),
    include_bytes!("modules/argocd/go.sum"),
    include_bytes!("modules/argocd/main.go"),
];

/// Runs a program until standard input ends: these do not know `LIFELINE`.
const UNTIL_WE_END: &str =
    r#"exec 3<&0; "$@" </dev/null & it=$!; (cat <&3 >/dev/null; kill -9 $it) & wait $it"#;

/// The folder that `make peers` builds into.
pub fn folder() -> PathBuf {
    let mut hash = Sha256::new();
    SOURCES.iter().for_each(|source| hash.update(source));
    let name = &hex::encode(hash.finalize())[..16];
    let folder = tools::cache().unwrap().join("peers").join(name);
    assert!(
        folder.join(".complete").is_file(),
        "Flux and Argo CD are not built yet: run `make peers` (8 minutes, once)"
    );
    folder
}

/// Starts a program in a folder of its own, against the control plane; its log is beside it.
pub fn start(program: &Path, arguments: &[String], more: &[(&str, &str)], home: &Path) -> Server {
    let name = program.file_name().unwrap().to_string_lossy().into_owned();
    let own = home.join(&name);
    std::fs::create_dir_all(&own).unwrap();
    let tools = plane().tools().assets().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display());
    let mut command = Command::new("sh");
    command
        .args(["-c", UNTIL_WE_END, "peer"])
        .arg(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .env("HOME", &own)
        .env("TMPDIR", &own)
        .env("KUBECONFIG", plane().kubeconfig())
        .envs(more.iter().copied())
        .current_dir(&own);
    Server::start(&mut command, &home.join(format!("{name}.log"))).unwrap()
}

/// Applies the definitions that came with the programs of `tool`.
pub fn define(tool: &str) {
    let definitions = folder().join("definitions").join(tool);
    let of = definitions.to_str().unwrap();
    plane()
        .kubectl(&["apply", "--server-side", "-f", of])
        .unwrap();
    plane()
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "-f",
            of,
            "--timeout=60s",
        ])
        .unwrap();
}

/// Waits until a program listens on its port.
pub fn listening(port: u16) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nothing listens on port {port}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
