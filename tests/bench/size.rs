//! `git_big_repository`: a config repository of 100,000 files and a history of
//! 2 GiB (`WINDLASS_BENCH_HISTORY_MIB`), from the start until everything is synced,
//! and a change on it. `_whole`: with all of the history.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::measures::{synced, wait};
use crate::results::Results;
use crate::support::{Setup, World};

const FILES: usize = 100_000;
const BLOB: usize = 1 << 20;

pub async fn size(results: &mut Results, whole: bool) {
    let history = std::env::var("WINDLASS_BENCH_HISTORY_MIB");
    let history = history.map_or(2048, |text| text.parse().unwrap());
    let world = World::asleep(Setup {
        fetch_depth: whole.then_some(NonZeroU32::new(0x7fff_ffff).unwrap()),
        direct: true,
        ..Setup::default()
    })
    .await;
    let remote = world.forge.repository_path("acme", "config");
    grow(&remote, history);
    let name = |what: &str| {
        let of = if whole { "_whole" } else { "" };
        format!("git_big_repository{of}_{what}")
    };
    results.note(&name("remote"), mebibytes(&remote), "MiB");
    let started = Instant::now();
    world.start();
    let tip = world.tip();
    synced(&world, &tip).await;
    wait(Duration::from_secs(900), async || {
        let all = world.applications().await;
        let is_true = |object: &serde_json::Value| {
            let conditions = object["status"]["conditions"].as_array().cloned();
            conditions
                .is_some_and(|all| all.len() == 2 && all.iter().all(|c| c["status"] == "True"))
        };
        all.len() >= 2 && all.iter().all(is_true)
    })
    .await;
    results.note(&name("start"), started.elapsed().as_secs_f64(), "s");
    let peak = peak(&world);
    if whole {
        results.note(&name("peak"), peak, "MiB");
    } else {
        results.add(&name("peak"), peak, "MiB", "< 512 MiB", peak < 512.0);
    }
    let path = "apps/shop/staging/config.yaml";
    let text = world.file(path).replace("hello", "good day");
    let started = Instant::now();
    let commit = world.commit("A greeting", &[(path, Some(text.as_str()))]);
    synced(&world, &commit).await;
    results.note(&name("change"), started.elapsed().as_secs_f64(), "s");
    results.note(&name("mirror"), mebibytes(&world.cache()), "MiB");
    world.kill();
    std::fs::remove_dir_all(&remote).unwrap();
    std::fs::remove_dir_all(world.cache()).unwrap();
}

/// Adds the files in one commit, and a commit for each MiB of history.
fn grow(remote: &Path, mebibytes: usize) {
    let mut import = Command::new("git")
        .current_dir(remote)
        .args(["-c", "core.compression=0", "-c", "pack.compression=0"])
        .args(["fast-import", "--quiet", "--depth=0"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = std::io::BufWriter::with_capacity(BLOB, import.stdin.take().unwrap());
    let commit = |to: &mut dyn std::io::Write, number: usize| {
        let at = 1_790_000_000 + number;
        write!(
            to,
            "commit refs/heads/main\ncommitter ada <ada@example.com> {at} +0000\ndata 4\nMore\n"
        )
        .unwrap();
        if number == 0 {
            writeln!(to, "from refs/heads/main^0").unwrap();
        }
    };
    commit(&mut to, 0);
    for number in 0..FILES {
        let text = format!("number: {number}\ntext: some configuration of another team\n");
        let path = format!(
            "data/{:02}/{:02}/file-{number}.yaml",
            number % 40,
            number / 40 % 50
        );
        write!(to, "M 100644 inline {path}\ndata {}\n{text}\n", text.len()).unwrap();
    }
    let (mut state, mut blob) = (0x9e37_79b9_7f4a_7c15_u64, vec![0_u8; BLOB]);
    for number in 1..=mebibytes {
        commit(&mut to, number);
        for word in blob.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        write!(to, "M 100644 inline data/archive.bin\ndata {BLOB}\n").unwrap();
        to.write_all(&blob).unwrap();
        writeln!(to).unwrap();
    }
    drop(to);
    assert!(import.wait().unwrap().success());
}

/// The most memory that windlass had, in MiB.
fn peak(world: &World) -> f64 {
    let status = format!("/proc/{}/status", world.pid().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<f64>().unwrap() / 1024.0
}

fn mebibytes(folder: &Path) -> f64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    let bytes: u64 = files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    bytes as f64 / f64::from(1 << 20)
}
