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
    ("outgoing", &["outgoing"]),
    ("random", &["random"]),
    ("traces", &["outgoing", "traces"]),
    ("git", &["domain", "git", "outgoing", "traces"]),
    ("render", &["domain", "git", "outgoing", "render", "traces"]),
    ("github", &["domain", "github", "outgoing", "traces"]),
    ("cluster", &["domain", "cluster", "traces"]),
    ("events", &["domain", "outgoing", "events"]),
    ("registry", &["domain", "registry", "outgoing"]),
    ("notifications", &["domain", "notifications", "outgoing"]),
    ("view", &["domain", "view"]),
    ("telemetry", &["telemetry", "traces"]),
    (
        "controller",
        &[
            "domain",
            "git",
            "render",
            "github",
            "cluster",
            "registry",
            "notifications",
            "view",
            "telemetry",
            "traces",
            "controller",
        ],
    ),
    (
        "config",
        &[
            "domain",
            "cluster",
            "github",
            "notifications",
            "outgoing",
            "telemetry",
            "config",
        ],
    ),
    ("rbac", &["domain", "rbac"]),
    (
        "http",
        &[
            "domain",
            "github",
            "events",
            "controller",
            "cluster",
            "outgoing",
            "random",
            "telemetry",
            "view",
            "http",
        ],
    ),
    (
        "plan",
        &[
            "domain",
            "git",
            "render",
            "cluster",
            "view",
            "controller",
            "config",
            "random",
            "plan",
        ],
    ),
    ("operate", &["domain", "cluster", "view", "operate"]),
    (
        "setup",
        &[
            "domain", "git", "github", "outgoing", "random", "render", "setup", "view",
        ],
    ),
];

/// What may import everything: the composition root, the command line, and what is made of both.
const TOP: &[&str] = &[
    "app",
    "cli",
    "doctor",
    "lib",
    "main",
    "reference",
    "sandbox",
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
        if TOP.contains(&module.as_str()) {
            continue;
        }
        let row = LAYERS.iter().find(|(name, _)| *name == module);
        let (_, allowed) = row.unwrap_or_else(|| panic!("{module} has no layer"));
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
    LAYERS.iter().any(|(name, _)| *name == module) || TOP.contains(&module)
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
        // The tests of mirrors ask git itself.
        .filter(|(path, _)| !path.ends_with("src/git/tests.rs"))
        // `windlass serve` takes its own place when a kubeconfig changed.
        .filter(|(path, text)| {
            let runs = code(text).matches("Command::new").count();
            !(path.ends_with("src/cli.rs") && runs == 1 && text.contains(".exec()"))
        })
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
const LONG: &[(&str, usize)] = &[];

/// Lines that a function may have.
const MOST_OF_A_FUNCTION: usize = 60;

/// Functions that are longer, each with the reason; the list only shrinks.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    (
        "app.rs run",
        "start and stop, in the one order that is right",
    ),
    ("promotion/act.rs act", "one arm for each step"),
    (
        "application/act.rs sync",
        "what is written, in the order that a crash may cut",
    ),
    ("pull_request/open.rs observe", "fills one struct"),
    ("preview/mod.rs application", "fills one struct"),
    (
        "store/inventory.rs an_inventory_entry_is_a_line_and_back",
        "a table",
    ),
    ("cluster/objects.rs keeps", "one arm for each tool"),
];

/// The functions of a file in rustfmt's form, each with its number of lines.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let words: Vec<_> = line.split_whitespace().collect();
        let head = words.iter().take_while(|word| **word != "fn");
        let modifiers = ["pub", "async", "const", "pub(super)", "pub(crate)"];
        if !words.contains(&"fn") || !head.clone().all(|word| modifiers.contains(word)) {
            continue;
        }
        let name = words[head.count() + 1];
        let name = name.split(['(', '<']).next().unwrap_or_default();
        let end = lines[start..]
            .iter()
            .position(|other| indent(other) == indent(line) && other.trim() == "}");
        found.extend(end.map(|end| (name.to_string(), end + 1)));
    }
    found
}

#[test]
fn functions_are_short() {
    let sources = sources();
    let product = sources.iter().filter(|(path, _)| path.starts_with("src"));
    let long: Vec<_> = product
        .flat_map(|(path, text)| {
            let long = functions(text);
            let long = long
                .into_iter()
                .filter(|(_, lines)| *lines > MOST_OF_A_FUNCTION);
            long.map(|(name, lines)| (format!("{} {name}", path.display()), lines))
        })
        .collect();
    for (name, lines) in &long {
        assert!(
            LONG_FUNCTIONS
                .iter()
                .any(|(known, _)| name.ends_with(known)),
            "{name} has {lines} lines: cut it at a seam, or give the reason"
        );
    }
    assert_eq!(
        long.len(),
        LONG_FUNCTIONS.len(),
        "take off the list what is short now"
    );
}

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
        let may = ["src/app.rs", "src/domain/permit.rs"].contains(&here.as_str());
        assert!(
            may || !code(text).contains("WritePermit::to_preview"),
            "{here} makes a WritePermit for previews"
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
fn the_templates_are_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all: String = sources().into_iter().map(|(_, text)| text).collect();
    for entry in std::fs::read_dir(root.join("templates")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            all.contains(&format!("templates/{name}")),
            "templates/{name} is not used"
        );
    }
}
