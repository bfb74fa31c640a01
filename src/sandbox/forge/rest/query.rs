//! Query strings, and the pages in which lists are answered.

use std::collections::HashMap;

use serde_json::Value;

use crate::sandbox::forge::{Call, Reply};

pub(in crate::sandbox::forge) fn parse_query(query: &str) -> HashMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                percent_decode(key),
                percent_decode(&value.replace('+', " ")),
            )
        })
        .collect()
}

pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One page, 30 by default and 100 at most, and the `Link` header.
pub(super) fn paginate(
    items: Vec<Value>,
    query: &HashMap<String, String>,
    call: &Call,
    origin: &str,
) -> (Vec<Value>, Option<String>) {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let per_page = number("per_page").unwrap_or(30).clamp(1, 100);
    let page = number("page").unwrap_or(1).max(1);
    let last = items.len().div_ceil(per_page).max(1);
    let mut rels = Vec::new();
    let mut rel = |name: &str, page: usize| {
        let mut pairs: Vec<_> = query
            .iter()
            .filter(|(key, _)| *key != "page")
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.sort();
        pairs.push(format!("page={page}"));
        rels.push(format!(
            "<{origin}{}?{}>; rel=\"{name}\"",
            call.path,
            pairs.join("&")
        ));
    };
    if page > 1 {
        rel("prev", page - 1);
    }
    if page < last {
        rel("next", page + 1);
        rel("last", last);
    }
    if page > 1 {
        rel("first", 1);
    }
    let link = (!rels.is_empty()).then(|| rels.join(", "));
    (
        items
            .into_iter()
            .skip((page - 1) * per_page)
            .take(per_page)
            .collect(),
        link,
    )
}

pub(super) fn linked(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.with("link", link),
        None => reply,
    }
}
