//! The documents are true: what is made from the types is as it is made, commands, functions and
//! quoted words exist, links lead somewhere.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, CONTRIBUTING and every page under `docs/`.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = walkdir::WalkDir::new(root().join("docs"))
        .into_iter()
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|end| end == "md"));
    let own = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name));
    own.into_iter()
        .chain(pages)
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

#[test]
fn the_reference_is_made_from_the_types() {
    let mut files: Vec<_> = windlass::reference::pages()
        .into_iter()
        .map(|(name, text)| (format!("docs/reference/{name}"), text))
        .collect();
    files.push((
        "deploy/crds.yaml".into(),
        windlass::judged_by::definitions(),
    ));
    files.push((
        "deploy/windlass.schema.json".into(),
        windlass::reference::schema(),
    ));
    for (path, text) in files {
        let committed = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(
            committed == text,
            "{path} is not as it is made: run `make reference`"
        );
    }
}

/// The commands of the blocks that a reader may copy, each on one line, and of ours those in the
/// text too.
fn commands(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let spans = spans.filter(|span| span.starts_with("windlass ") || span.starts_with("make "));
    let spans = spans.filter(|span| !span.contains('\n') && *span != "windlass help COMMAND");
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let lines = blocks.map(|block| block.replace("\\\n", " "));
    lines
        .flat_map(|block| {
            block
                .lines()
                .map(str::trim)
                .map(str::to_string)
                .collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .chain(spans.map(str::to_string))
        .collect()
}

/// A command or flag that is not there; what is left out of a sentence is no mistake.
fn is_unknown(error: &clap::Error) -> bool {
    use clap::error::ErrorKind::{InvalidSubcommand, UnknownArgument};
    matches!(error.kind(), InvalidSubcommand | UnknownArgument)
}

#[test]
fn commands_in_the_documents_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut found = 0;
    for (path, text) in documents() {
        for line in commands(&text) {
            let words = shlex::split(&line).unwrap_or_else(|| panic!("{}: {line}", path.display()));
            match words.first().map(String::as_str) {
                Some("windlass") => {
                    let parsed = windlass::cli::command().try_get_matches_from(&words);
                    let error = parsed.err().filter(is_unknown);
                    assert!(
                        error.is_none(),
                        "{}: {line}\n{}",
                        path.display(),
                        error.unwrap()
                    );
                }
                Some("make") => {
                    let target = words.get(1).cloned().unwrap_or_default();
                    assert!(
                        makefile.contains(&format!("\n{target}:")),
                        "{}: there is no `{line}`",
                        path.display()
                    );
                }
                _ => continue,
            }
            found += 1;
        }
    }
    assert!(found > 5, "only {found} commands were found");
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    for (path, text) in documents() {
        let folder = path.parent().unwrap();
        // What stands in code is no link.
        let prose: String = text.split('`').step_by(2).collect();
        for target in prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let page = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            assert!(page.exists(), "{}: {target} is not there", path.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&page).unwrap();
                assert!(
                    text.lines().any(|line| is_heading(line, anchor)),
                    "{}: {target} has no such heading",
                    path.display()
                );
            }
        }
    }
}

/// As GitHub makes anchors of headings.
fn is_heading(line: &str, anchor: &str) -> bool {
    let Some(title) = line.strip_prefix('#') else {
        return false;
    };
    let title = title.trim_start_matches('#').trim().to_lowercase();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().replace(' ', "-") == anchor
}

/// Every page under `docs/paths/`.
fn paths() -> impl Iterator<Item = (PathBuf, String)> {
    documents().into_iter().filter(|(path, _)| {
        path.parent()
            .is_some_and(|folder| folder.ends_with("paths"))
    })
}

/// The file of `a::b`.
fn source_of(module: &str) -> Option<String> {
    let place = root().join("src").join(module.replace("::", "/"));
    let files = [place.with_extension("rs"), place.join("mod.rs")];
    files
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok())
}

/// `a::{b, c}` are two modules.
fn modules(span: &str) -> Vec<String> {
    let Some((parent, children)) = span.split_once('{') else {
        return vec![span.into()];
    };
    let children = children.trim_end_matches('}').split(',');
    children
        .map(|child| format!("{parent}{}", child.trim()))
        .collect()
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

/// A function, or a type, variant or constant.
fn has_name(source: &str, name: &str) -> bool {
    name.split("::").all(|part| {
        if part.starts_with(char::is_lowercase) {
            has_word(source, &format!("fn {part}"))
        } else {
            has_word(source, part)
        }
    })
}

#[test]
fn functions_in_the_documents_exist() {
    let architecture = root().join("docs/architecture.md");
    let text = std::fs::read_to_string(&architecture).unwrap();
    let mut found = 0;
    for (path, text) in paths().chain([(architecture, text)]) {
        let steps = text.lines().flat_map(|line| {
            let steps = line.split("; ").flat_map(|part| part.split(". "));
            steps.filter_map(move |step| Some((line, step.split_once("` → ")?)))
        });
        for (line, (module, names)) in steps {
            let module = module.rsplit('`').next().unwrap_or_default();
            let names: Vec<_> = names.split('`').skip(1).step_by(2).collect();
            for module in modules(module) {
                let source = source_of(&module);
                let source = source
                    .unwrap_or_else(|| panic!("{}: there is no {module}:\n{line}", path.display()));
                for name in &names {
                    assert!(
                        has_name(&source, name),
                        "{}: {module} has no {name}:\n{line}",
                        path.display()
                    );
                    found += 1;
                }
            }
        }
    }
    assert!(found > 100, "only {found} functions were found");
}

/// One space for any white space; lines that Rust continues are one.
fn joined(text: &str) -> String {
    let text = text.replace("\\\n", " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What windlass writes: the sources and the templates.
fn words_of_windlass() -> String {
    let files = ["src", "templates"].map(|folder| walkdir::WalkDir::new(root().join(folder)));
    let files = files.into_iter().flatten().filter_map(Result::ok);
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    joined(&texts.collect::<Vec<_>>().join("\n"))
}

/// The sentences in quotes, without what differs from case to case: code, numbers, what is left
/// out.
fn quoted_words(text: &str) -> Vec<String> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if in_block {
            continue;
        }
        for quote in line.split('"').skip(1).step_by(2) {
            let prose = quote.split('`').step_by(2);
            let parts = prose.flat_map(|part| part.split(|c: char| c == '…' || c.is_ascii_digit()));
            found.extend(parts.map(joined).filter(|part| part.chars().count() >= 12));
        }
    }
    found
}

#[test]
fn quoted_words_are_what_windlass_writes() {
    let words = words_of_windlass();
    let mut found = 0;
    for (path, text) in paths() {
        for part in quoted_words(&text) {
            assert!(
                words.contains(&part),
                "{}: windlass does not write \"{part}\"",
                path.display()
            );
            found += 1;
        }
    }
    assert!(found > 30, "only {found} quotes were found");
}

#[test]
fn shells_complete_the_commands_and_each_has_a_manual_page() {
    let windlass = |arguments: &[&str]| {
        let said = std::process::Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = windlass(&["completions", shell]);
        assert!(script.contains("confirm-prune") && script.contains("unhealthy"));
    }
    let folder = tempfile::tempdir().unwrap();
    windlass(&["man", folder.path().to_str().unwrap()]);
    let page = std::fs::read_to_string(folder.path().join("windlass-status.1")).unwrap();
    assert!(page.contains("unhealthy"), "{page}");
}
