//! The house rules that a machine can check.

use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    walk(&root.join("tests"), &mut found);
    found
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(root).unwrap().to_path_buf(), text))
        .collect()
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// Calls that rustfmt puts into lines of their own, in one line again.
fn chained(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if !line.trim_start().starts_with('.') {
            out.push('\n');
        }
        out.push_str(if line.trim_start().starts_with('.') {
            line.trim()
        } else {
            line
        });
    }
    out
}

/// Which top-level modules a module may import. Siblings of one layer never import each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("git", &["domain", "git"]),
    ("render", &["domain", "git", "render"]),
    ("github", &["domain", "github"]),
    ("cluster", &["domain", "cluster"]),
    ("events", &["domain", "events"]),
    ("registry", &["domain", "registry"]),
    ("view", &["domain", "view"]),
    ("telemetry", &["telemetry"]),
    (
        "controller",
        &[
            "domain",
            "git",
            "render",
            "github",
            "cluster",
            "registry",
            "view",
            "telemetry",
            "controller",
        ],
    ),
    ("config", &["domain", "github", "telemetry", "config"]),
    ("listener", &["listener"]),
    ("rbac", &["domain", "rbac"]),
    (
        "server",
        &[
            "domain",
            "github",
            "events",
            "controller",
            "cluster",
            "telemetry",
            "listener",
            "server",
        ],
    ),
];

#[test]
fn imports_only_point_down() {
    for (path, text) in sources() {
        let mut parts = path.components().map(|part| {
            part.as_os_str()
                .to_string_lossy()
                .trim_end_matches(".rs")
                .to_string()
        });
        if parts.next().as_deref() != Some("src") || path.ends_with("tests.rs") {
            continue;
        }
        let module = parts.next().unwrap();
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
            continue;
        };
        for line in code(&text).lines() {
            for used in line.split("crate::").skip(1).filter_map(|rest| {
                rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
            }) {
                // `$crate` and macros have no layer; `run` is the composition root's.
                let module_name = sources_have(used);
                assert!(
                    !module_name || allowed.contains(&used),
                    "{}: {module} must not import {used}:\n{line}",
                    path.display()
                );
            }
        }
    }
}

fn sources_have(module: &str) -> bool {
    LAYERS.iter().any(|(name, _)| *name == module) || ["sandbox", "cli"].contains(&module)
}

#[test]
fn the_domain_does_not_touch_the_world() {
    let banned = [
        "tokio",
        "octocrab",
        "kube::",
        "gix",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "rand::",
        "async fn",
        ".await",
    ];
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| path.starts_with("src/domain"))
    {
        for word in banned {
            assert!(!code(text).contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn programs_are_run_by_the_renderer_alone_and_never_by_a_shell() {
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| path.starts_with("src") && !path.starts_with("src/sandbox"))
    {
        assert!(
            path.starts_with("src/render") || !code(text).contains("Command::new"),
            "{} runs a program",
            path.display()
        );
        for shell in ["\"sh\"", "\"bash\"", "\"/bin/sh\""] {
            assert!(
                !code(text).contains(shell),
                "{} names a shell",
                path.display()
            );
        }
    }
}

#[test]
fn the_forge_knows_nothing_of_windlass() {
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| path.starts_with("src/sandbox/forge"))
    {
        for line in text.lines().filter(|line| line.contains("crate::")) {
            assert!(
                line.contains("crate::sandbox"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

/// Lines that a file may have.
const MOST_LINES: usize = 400;

/// Files that are longer, with what they may have until they are divided: the list and its numbers
/// only shrink.
const LONG: &[(&str, usize)] = &[
    ("tests/it/traps.rs", 1610),
    ("tests/it/fences.rs", 1340),
    ("src/domain/promotion.rs", 1320),
    ("src/sandbox/forge/rest.rs", 1190),
    ("tests/it/truth.rs", 1170),
    ("src/domain/catalog.rs", 1110),
    ("src/domain/health.rs", 1000),
    ("src/view/preview.rs", 980),
    ("tests/it/syncs.rs", 970),
    ("src/render/mod.rs", 930),
    ("src/sandbox/forge/rest_pulls.rs", 930),
    ("src/domain/ownership.rs", 900),
    ("src/controller/promotion.rs", 890),
    ("src/domain/fieldset.rs", 820),
    ("tests/it/support/mod.rs", 800),
    ("src/git.rs", 790),
    ("src/domain/plan.rs", 770),
    ("src/domain/fence.rs", 760),
    ("src/controller/mod.rs", 760),
    ("src/domain/pull_request.rs", 720),
    ("src/domain/edit.rs", 710),
    ("src/view/mod.rs", 680),
    ("tests/bench/main.rs", 680),
    ("src/domain/mask.rs", 680),
    ("src/sandbox/forge/git.rs", 640),
    ("src/controller/preview.rs", 630),
    ("src/controller/commands.rs", 620),
    ("src/cluster/index.rs", 610),
    ("tests/it/incidents.rs", 570),
    ("src/domain/gate.rs", 560),
    ("tests/bench/corpus/application.rs", 550),
    ("src/sandbox/demo.rs", 550),
    ("src/sandbox/forge/json.rs", 540),
    ("tests/it/promotions.rs", 540),
    ("src/domain/effect.rs", 530),
    ("src/sandbox/forge/mod.rs", 520),
    ("src/render/run.rs", 510),
    ("src/controller/commit.rs", 490),
    ("tests/bench/corpus/mod.rs", 480),
    ("src/sandbox/forge/state.rs", 480),
    ("src/view/tests.rs", 470),
    ("src/config.rs", 470),
    ("src/sandbox/forge/graphql.rs", 460),
    ("src/domain/manifest.rs", 450),
    ("tests/it/crash.rs", 450),
    ("src/server.rs", 450),
    ("src/plan.rs", 440),
    ("tests/it/paths/preview.rs", 440),
    ("src/sandbox/control_plane.rs", 420),
    ("src/domain/schema.rs", 410),
    ("src/controller/authority.rs", 410),
    ("src/controller/dry_run/mod.rs", 410),
];

#[test]
fn files_are_short_and_say_what_they_are() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        let here = path.display().to_string();
        let known = LONG.iter().find(|(path, _)| *path == here);
        let most = known.map_or(MOST_LINES, |(_, most)| *most);
        assert!(
            lines <= most,
            "{here} has {lines} lines: two reasons to change meet there"
        );
        assert!(
            known.is_none() || lines > MOST_LINES,
            "{here} is short now: take it off the list"
        );
        let tests = path.ends_with("tests.rs");
        assert!(
            tests || text.starts_with("//!"),
            "{here} does not begin with what it is"
        );
    }
}

#[test]
fn only_the_gate_and_the_lease_make_permits() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src")) {
        let here = path.display().to_string();
        assert!(
            here == "src/domain/gate/mod.rs" || !code(text).contains("MergePermit {"),
            "{here} makes a MergePermit"
        );
        let may = ["src/cluster/lease.rs", "src/domain/permit.rs"].contains(&here.as_str());
        assert!(
            may || !code(text).contains("of_the_lease"),
            "{here} makes a WritePermit"
        );
    }
}

#[test]
fn queues_are_filled_by_the_table_of_wake_ups_alone() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src")) {
        let here = path.display().to_string();
        let may = ["src/controller/wake.rs", "src/controller/queue.rs"].contains(&here.as_str());
        let fills = chained(code(text)).lines().any(|line| {
            ["promotions", "pulls", "applications", "commits"]
                .iter()
                .any(|queue| line.contains(&format!("{queue}.put(")))
        });
        assert!(may || !fills, "{here} fills a queue: emit an Event");
    }
}

#[test]
fn the_documents_tell_the_commands_and_the_templates_are_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = std::fs::read_to_string(root.join("docs/reference.md")).unwrap();
    for command in windlass::judged_by::COMMANDS {
        assert!(
            reference.contains(&format!("| `/{}` | {} |", command.word, command.summary)),
            "docs/reference.md lacks /{}",
            command.word
        );
    }
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    for entry in std::fs::read_dir(root.join("templates")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            all.contains(&format!("templates/{name}")),
            "templates/{name} is not used"
        );
    }
}
