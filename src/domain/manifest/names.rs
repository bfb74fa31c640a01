//! Checks of names, kinds, groups and versions.

use serde_json::Value;

/// The API group of an object; empty: the core group.
pub fn group_of(object: &Value) -> &str {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    version.split_once('/').map_or("", |(group, _)| group)
}

/// Whether a group is not part of Kubernetes: its kinds come from CustomResourceDefinitions.
pub fn is_custom_group(group: &str) -> bool {
    group.contains('.') && !group.ends_with(".k8s.io")
}

/// RFC 1123 label: a namespace's name, for one.
pub fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// RFC 1123 subdomain: most objects' names.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// A name as a segment of a path (apimachinery, `IsValidPathSegmentName`), with the characters that
/// names of any kind have: `:` in roles and addresses, `@` in accounts. The API server checks the
/// stricter rules of each kind.
pub(super) fn is_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@+".contains(&b);
    !text.is_empty() && text.len() <= 253 && text != "." && text != ".." && text.bytes().all(legal)
}

pub(super) fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Empty for the core group.
pub(super) fn is_group(text: &str) -> bool {
    text.is_empty() || is_subdomain(text)
}

pub(super) fn is_version(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}
