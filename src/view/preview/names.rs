//! The shortest form: names by kind and namespace, and the differences that most objects share.

use std::collections::BTreeMap;

use super::super::markdown::{code, code_element};
use super::forms::groups;
use super::parts::{Part, Told};
use super::title::action_word;
use crate::domain::plan::{Action, Change};

/// Names in one line; more are folded.
const MOST_NAMES: usize = 30;
/// Kept free for what ends the text.
const RESERVE: usize = 200;

/// Names that stand together; what is lost comes first, then what cannot be applied.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct NameGroup<'a> {
    rank: u8,
    word: &'a str,
    kind: &'a str,
    namespace: Option<&'a str>,
}

/// The last resort: names by kind and namespace, deletions and recreations first, and the
/// differences that most objects share, as much as fits.
pub(super) fn brief(parts: &[Part<'_>], room: usize) -> String {
    let mut out = String::from(
        "The full preview is too long for a comment: read it in the check run `windlass/preview`. These are the names.\n\n",
    );
    let mut omitted = 0;
    for (group, names) in names_by_group(parts) {
        let (text, more) = group.text(&names, room.saturating_sub(out.len()));
        out.push_str(&text);
        omitted += more;
    }
    if omitted > 0 {
        out.push_str(&format!(
            "\n{omitted} more names do not fit here: `windlass plan` lists all of them.\n"
        ));
    }
    for group in groups(parts)
        .into_iter()
        .filter(|group| group.objects.len() > 1)
    {
        let text = format!(
            "\n<details open><summary>the same in {} objects</summary>\n\n{}\n\n</details>\n",
            group.objects.len(),
            group.diff
        );
        if out.len() + text.len() + RESERVE <= room {
            out.push_str(&text);
        }
    }
    out
}

fn names_by_group<'a>(parts: &[Part<'a>]) -> BTreeMap<NameGroup<'a>, Vec<String>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Told { change, .. } in parts.iter().flat_map(|part| &part.told) {
        let name = code(&change.key.name);
        found.entry(NameGroup::of(change)).or_default().push(name);
    }
    found
}

impl<'a> NameGroup<'a> {
    fn of(change: &'a Change) -> Self {
        let rank = match (&change.problem, &change.action) {
            (_, Action::Prune | Action::Recreate) if !change.is_hook() => 0,
            (Some(_), _) => 1,
            _ => 2,
        };
        let word = if change.problem.is_some() {
            "cannot be applied"
        } else {
            action_word(&change.action)
        };
        Self {
            rank,
            word,
            kind: &change.key.kind,
            namespace: change.key.namespace.as_deref(),
        }
    }

    fn title(&self, code: fn(&str) -> String) -> String {
        let place = self
            .namespace
            .map(|namespace| format!(" in {}", code(namespace)))
            .unwrap_or_default();
        format!("{}: {}{place}", self.word, code(self.kind))
    }

    /// As many of the names as fit into `room`, and how many do not.
    fn text(&self, names: &[String], room: usize) -> (String, usize) {
        // What is lost stays in sight.
        let folded = self.rank == 2 && names.len() > MOST_NAMES;
        let (mut text, after) = if folded {
            let title = self.title(code_element);
            (
                format!("\n<details><summary>{title}: {}</summary>\n\n", names.len()),
                "\n\n</details>\n\n",
            )
        } else {
            (format!("- {}: ", self.title(code)), "\n")
        };
        if text.len() + after.len() + RESERVE > room {
            return (String::new(), names.len());
        }
        let (mut omitted, mut separator) = (0, "");
        for name in names {
            if text.len() + name.len() + after.len() + RESERVE > room {
                omitted += 1;
                continue;
            }
            text.push_str(separator);
            text.push_str(name);
            separator = ", ";
        }
        text.push_str(after);
        (text, omitted)
    }
}
