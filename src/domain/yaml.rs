//! Reading YAML as kubectl does, and writing it for people.
//!
//! Manifests are read with serde-saphyr: YAML 1.1 booleans, legacy octal
//! numbers, merge keys and keys that are repeated come out as kubectl reads them,
//! and an error shows its line with a caret (`docs/adr/0002-yaml.md`).

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The limit of nodes in a stream, and in all manifests of an application. Each node takes hundreds
/// of bytes of memory.
pub const MOST_NODES: usize = 300_000;

/// The nodes of a value.
pub fn nodes(value: &Value) -> usize {
    match value {
        Value::Object(map) => 1 + map.values().map(|below| 1 + nodes(below)).sum::<usize>(),
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        _ => 1,
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        // The defaults end at about 3 MB of manifests, and at 1024 of them; definitions nest deep.
        budget: serde_saphyr::budget! {
            max_documents: 100_000, max_nodes: MOST_NODES, max_events: 4 * MOST_NODES, max_total_scalar_bytes: 32 << 20, max_depth: 128
        },
    }
}

/// Every document of a stream; empty ones are skipped. Of a key that is repeated the last value
/// counts: [`repeated`] finds those.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut options = options();
    options.duplicate_keys = serde_saphyr::options::DuplicateKeyPolicy::LastWins;
    serde_saphyr::from_multiple_with_options::<Value>(text, options)
        .map(|documents| {
            documents
                .into_iter()
                .filter(|document| !document.is_null())
                .collect()
        })
        .map_err(|error| words(&error.to_string()))
}

/// A key that its mapping has before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    pub line: usize,
    pub key: String,
}

/// The keys of a stream that are repeated in their mapping.
pub fn repeated(text: &str) -> Vec<Repeated> {
    // The keys so far of each mapping that is open, and whether a key comes next; None: a list.
    let mut open: Vec<Option<(BTreeSet<String>, bool)>> = Vec::new();
    let mut found = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let new = match &event {
            Event::MappingStart(..) => Some(Some((BTreeSet::new(), true))),
            Event::SequenceStart(..) => Some(None),
            Event::Scalar(..) | Event::Alias(_) => None,
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                continue;
            }
            _ => continue,
        };
        if let Some(Some((keys, is_key))) = open.last_mut() {
            if let (Event::Scalar(key, ..), true) = (&event, *is_key)
                && !keys.insert(key.to_string())
            {
                let (line, key) = (span.start.line(), key.to_string());
                found.push(Repeated { line, key });
            }
            *is_key = !*is_key;
        }
        open.extend(new);
    }
    found
}

/// An error without advice to the authors of programs.
fn words(error: &str) -> String {
    error.replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

/// Parses one document into a type of ours.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| words(&error.to_string()))
}

/// Block YAML with sorted keys, for diffs. serde_json's maps are sorted unless a dependency enables
/// its feature
/// `preserve_order`; the test below would fail then.
pub fn print(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// A field of an object, as [`print`] prints it.
pub fn print_field(name: &str, value: &Value) -> String {
    serde_yaml::to_string(&BTreeMap::from([(name, value)])).unwrap_or_else(|_| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let read =
            documents("a: yes\nb: 0755\nc: 1.10\nd: '1.10'\n---\n# nothing\n---\ne: 1\n").unwrap();
        assert_eq!(
            read,
            [
                serde_json::json!({"a": true, "b": 493, "c": 1.1, "d": "1.10"}),
                serde_json::json!({"e": 1})
            ]
        );
    }

    #[test]
    fn of_a_repeated_key_the_last_value_counts_and_it_is_found() {
        for (text, expected) in [
            ("a: 1\nb: 2\n", ""),
            ("a: 1\nb: 2\na: 3\n", "3 a"),
            ("a: {x: 1, y: {x: 1}, x: 2}\nb: {x: 1}\n", "1 x"),
            ("- a: 1\n- a: 2\n  c: [a, a]\n  a: &a 3\n- *a\n", "4 a"),
            ("a: a\n---\na: a\n'a': b\n", "4 a"),
            ("? [x]\n: x\n? [x]\n: x\nx: x\n", ""),
            ("a: 1\na: [\n", "2 a"),
        ] {
            let found = repeated(text).into_iter();
            let found: Vec<_> = found
                .map(|one| format!("{} {}", one.line, one.key))
                .collect();
            assert_eq!(found.join(", "), expected, "{text}");
        }
        let read = documents("a: 1\nb: {c: 1, c: 2}\na: 3\n").unwrap();
        assert_eq!(read, [serde_json::json!({"a": 3, "b": {"c": 2}})]);
    }

    #[test]
    fn a_large_application_is_one_stream() {
        let text: String = (0..5_000)
            .map(|n| format!("---\nkind: ConfigMap\ndata: {{n: {n}}}\n"))
            .collect();
        assert_eq!(documents(&text).unwrap().len(), 5_000);
        let deep = format!("{}x{}", "[".repeat(100), "]".repeat(100));
        assert!(documents(&deep).is_ok() && documents(&deep.repeat(2).replace("][", "[")).is_err());
    }

    #[test]
    fn printing_sorts_keys_and_quotes_what_needs_it() {
        assert_eq!(
            print(&serde_json::json!({"b": "true", "a": [1, {"z": null, "y": "x"}]})),
            "a:\n- 1\n- y: x\n  z: null\nb: 'true'\n"
        );
    }
}
