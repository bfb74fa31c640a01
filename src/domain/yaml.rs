//! Reading YAML as kubectl does, and writing it for people.
//!
//! Manifests are read with serde-saphyr: YAML 1.1 booleans, legacy octal
//! numbers and merge keys come out as kubectl reads them, and an error shows
//! its line with a caret (`docs/adr/0002-yaml.md`).

use std::collections::BTreeMap;

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

/// Every document of a stream; empty ones are skipped.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple_with_options::<Value>(text, options())
        .map(|documents| {
            documents
                .into_iter()
                .filter(|document| !document.is_null())
                .collect()
        })
        .map_err(|error| words(&error.to_string()))
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
