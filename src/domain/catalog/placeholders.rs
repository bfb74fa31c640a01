//! Placeholders such as `{application}`, whose braces YAML would take for a mapping.

use std::collections::BTreeSet;

use super::pattern::{APPLICATION, CLUSTER, STAGE, names_in};

/// Replaces the braces of placeholders by other characters while the file is parsed. Otherwise YAML
/// would end the flow mapping `{ source: acme/{application} }` at the first closing brace. The
/// text's columns stay the same. The placeholders are those in the text's values of `path` and `under`.
pub(super) fn guarded(text: &str) -> String {
    let mut names = BTreeSet::from([APPLICATION, CLUSTER, STAGE, "application..."]);
    for line in text.lines() {
        for key in ["path:", "under:"] {
            if let Some((_, path)) = line.split_once(key) {
                names.extend(names_in(path));
            }
        }
    }
    let mut pieces = text.split('{');
    let mut guarded = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        match piece.split_once('}') {
            Some((name, rest)) if names.contains(name) => {
                guarded.push_str(&format!("\u{e000}{name}\u{e001}{rest}"));
            }
            _ => guarded.push_str(&format!("{{{piece}")),
        }
    }
    guarded
}

pub(super) fn unguarded(text: &str) -> String {
    text.replace('\u{e000}', "{").replace('\u{e001}', "}")
}
