//! The file `windlass.yaml` with more entries.

use super::Entry;
use crate::domain::Invalid;
use crate::domain::catalog::invalid;

/// The text of `windlass.yaml` with entries after the ones that it has. `keeps_discover`: some
/// applications go on to be found by it; otherwise it goes, with the comment right above it.
pub fn with_entries(
    text: &str,
    mut entries: Vec<Entry>,
    stages: usize,
    keeps_discover: bool,
) -> Result<String, Invalid> {
    if stages < 2 {
        entries.iter_mut().for_each(|entry| entry.stage = None);
    }
    let yaml = serde_yaml::to_string(&entries);
    let yaml = yaml.map_err(|error| Invalid(error.to_string()))?;
    let indented =
        |by: &str| -> String { yaml.lines().map(|line| format!("{by}{line}\n")).collect() };
    let (mut out, mut is_added) = (String::new(), false);
    for (comment, block) in blocks(text) {
        if is_key(block, "discover") && !keeps_discover {
            let above = comment.trim_end_matches(|c| c != '\n');
            let own = above
                .lines()
                .rev()
                .take_while(|line| line.starts_with('#'))
                .count();
            let lines: Vec<_> = above.lines().collect();
            lines[..lines.len() - own]
                .iter()
                .for_each(|line| out.push_str(&format!("{line}\n")));
            continue;
        }
        out.push_str(comment);
        out.push_str(block);
        if is_key(block, "applications") {
            let mut lines = block.lines();
            let on_its_line = lines.next().and_then(|line| line.split_once(':'));
            let on_its_line = on_its_line.map_or("", |(_, rest)| rest.trim());
            if !on_its_line.is_empty() && !on_its_line.starts_with('#') {
                return Err(invalid(format_args!(
                    "`applications` stands on one line: write it as a list with a line for each entry"
                )));
            }
            let first = lines.find(|line| line.trim_start().starts_with('-'));
            let by = first.map_or("  ", |line| &line[..line.len() - line.trim_start().len()]);
            out.truncate(out.trim_end().len());
            out.push_str(&format!("\n{}", indented(by)));
            is_added = true;
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    if !is_added {
        out.push_str(&format!("\napplications:\n{}", indented("  ")));
    }
    Ok(out)
}

fn is_key(block: &str, key: &str) -> bool {
    let block = block.trim_start_matches(['"', '\'']);
    let rest = block.strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).starts_with(':'))
}

/// The keys of the whole document with what is below them, each after the comments and empty lines
/// above it.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let begins = |line: &str| {
        let first = line.bytes().next();
        first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'"' || b == b'\'')
    };
    let is_between = |line: &str| line.trim().is_empty() || line.starts_with('#');
    // Where the comments above a key begin, and where the key does.
    let (mut cuts, mut at, mut comment) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if begins(line) {
            cuts.push((comment, at));
        }
        at += line.len();
        if begins(line) || !is_between(line) {
            comment = at;
        }
    }
    // What stands before the first key, such as `---`, stays above it.
    if let Some((comment, _)) = cuts.first_mut() {
        *comment = 0;
    }
    let ends = cuts
        .iter()
        .skip(1)
        .map(|(comment, _)| *comment)
        .chain([text.len()]);
    let blocks = cuts.iter().zip(ends);
    blocks
        .map(|((comment, key), end)| (&text[*comment..*key], &text[*key..end]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version: 1\n\nstages:\n  live:\n    cluster: local # ours\n\n# Argo CD applies them.\ndiscover: argocd\n\n# None.\nhealth: []\n";

    #[test]
    fn entries_stand_where_discover_stood_and_the_rest_stays() {
        let entry = Entry {
            path: "apps/web".into(),
            name: "web".into(),
            stage: Some("live".into()),
            namespace: "shop".into(),
            ..Entry::default()
        };
        let text = with_entries(FILE, vec![entry.clone()], 1, false).unwrap();
        assert_eq!(
            text,
            "version: 1\n\nstages:\n  live:\n    cluster: local # ours\n\n\n# None.\nhealth: []\n\napplications:\n  - path: apps/web\n    name: web\n    namespace: shop\n"
        );
        let more =
            "---\nversion: 1\napplications:\n  - path: a\n    namespace: a\n\ndiscover: [flux]\n";
        assert_eq!(
            with_entries(more, vec![entry.clone()], 2, false).unwrap(),
            "---\nversion: 1\napplications:\n  - path: a\n    namespace: a\n  - path: apps/web\n    name: web\n    stage: live\n    namespace: shop\n"
        );
    }

    #[test]
    fn a_list_goes_on_as_it_is_indented_and_what_stays_is_still_found() {
        let entry = Entry {
            path: "b".into(),
            name: "b".into(),
            namespace: "b".into(),
            ..Entry::default()
        };
        let text = "applications: # ours\n- path: a\n\n# The stages.\nstages: {live: {}}\n\"discover\": flux\n";
        assert_eq!(
            with_entries(text, vec![entry.clone()], 1, true).unwrap(),
            "applications: # ours\n- path: a\n- path: b\n  name: b\n  namespace: b\n\n# The stages.\nstages: {live: {}}\n\"discover\": flux\n"
        );
        let flow = with_entries("applications: []\n", vec![entry], 1, true);
        assert!(flow.unwrap_err().0.contains("on one line"));
    }
}
