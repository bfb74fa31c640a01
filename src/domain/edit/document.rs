//! The documents of a YAML file.

use serde_json::Value;

use super::EditError;
use crate::domain::yaml;

pub(super) fn single(text: &str) -> Result<Value, EditError> {
    match yaml::documents(text) {
        Ok(mut documents) if documents.len() == 1 => Ok(documents.remove(0)),
        Ok(documents) => Err(EditError(format!(
            "read as {} documents where one was expected",
            documents.len()
        ))),
        Err(error) => Err(EditError(error)),
    }
}

/// Splits a stream into documents. The pieces joined are the stream again.
pub fn split_documents(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let separator = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if separator && at > start {
            pieces.push(&text[start..at]);
            start = at;
        }
        at += line.len();
    }
    pieces.push(&text[start..]);
    pieces
}
