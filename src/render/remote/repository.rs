//! Chart repositories: the index says where an archive is, and its digest
//! (helm.sh/docs/topics/chart_repository).

use reqwest::Url;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::run::Trouble;
use super::ChartVersion;
use super::web::{Answer, Ask, Trust, Web, host, refused};
use crate::domain::yaml;

/// The most bytes of an index, and of an archive.
const MOST_INDEX: u64 = 48 << 20;
pub(super) const MOST_ARCHIVE: u64 = 16 << 20;

/// The archive of a chart.
pub(super) async fn chart(web: &Web, of: &ChartVersion) -> Result<Vec<u8>, Trouble> {
    let repository = of.repository.trim_end_matches('/');
    let at = |url: &str| {
        Url::parse(url).map_err(|error| Trouble::Author(format!("`{repository}`: {error}")))
    };
    let index_at = at(&format!("{repository}/index.yaml"))?;
    let index = get(web, index_at.clone(), MOST_INDEX, Trust::Source).await?;
    let index = index.ok_or_else(|| {
        Trouble::Author(format!(
            "{repository} is no chart repository: it has no index.yaml"
        ))
    })?;
    let text = String::from_utf8_lossy(&index);
    let entry = entry(&text, of).map_err(Trouble::Author)?;
    let digest = entry["digest"].as_str().unwrap_or_default();
    let digest = digest.trim_start_matches("sha256:").to_ascii_lowercase();
    let place = entry["urls"][0].as_str();
    let place = place.ok_or_else(|| Trouble::Author("the index gives no URL for it".into()))?;
    let place = at(&format!("{repository}/"))?.join(place);
    let place = place.map_err(|_| Trouble::Author("the index gives no good URL for it".into()))?;
    let (trust, elsewhere) = match digest.is_empty() {
        true => (Trust::Source, web.sources().of(place.as_str()).is_none()),
        false => (Trust::Digest, false),
    };
    if elsewhere {
        return Err(Trouble::Author(format!(
            "the index has it at {}, which is no source of the server's settings (--sources), and gives no digest for it",
            host(&place)
        )));
    }
    let archive = get(web, place, MOST_ARCHIVE, trust).await?;
    let archive = archive
        .ok_or_else(|| Trouble::Author("the archive that the index names is gone".into()))?;
    let found = hex::encode(Sha256::digest(&archive));
    if !digest.is_empty() && found != digest {
        return Err(Trouble::Author(format!(
            "the index says sha256:{digest} of its archive, which is sha256:{found}"
        )));
    }
    Ok(archive)
}

async fn get(web: &Web, url: Url, most: u64, trust: Trust) -> Result<Option<Vec<u8>>, Trouble> {
    let asked = url.clone();
    let ask = Ask {
        url,
        accept: "*/*",
        most,
        trust,
        authorization: None,
    };
    match web.get(ask).await? {
        Answer::Content(content) => Ok(Some(content)),
        Answer::Missing => Ok(None),
        Answer::Unauthorized(_) => Err(refused(&asked)),
    }
}

/// The entry of a version. An index may have megabytes, so that only this chart's part is parsed.
fn entry(index: &str, of: &ChartVersion) -> Result<Value, String> {
    let of_version = |entry: &&Value| {
        let version = entry["version"].as_str().unwrap_or_default();
        version.trim_start_matches('v') == of.version.trim_start_matches('v')
    };
    let none = || format!("{} has no version {} of it", of.repository, of.version);
    if index.trim_start().starts_with('{') {
        let index: Value = serde_json::from_str(index).map_err(|_| "its index is no JSON")?;
        let entries = index["entries"][&of.name].as_array();
        let entries = entries.into_iter().flatten();
        return entries.clone().find(of_version).cloned().ok_or_else(none);
    }
    for item in items(index, &of.name) {
        if !item.contains(of.version.trim_start_matches('v')) {
            continue;
        }
        let parsed = yaml::documents(&item).map_err(|error| format!("its index: {error}"))?;
        let entries = parsed.first().and_then(Value::as_array);
        if let Some(entry) = entries.into_iter().flatten().find(of_version) {
            return Ok(entry.clone());
        }
    }
    Err(none())
}

/// The items of one chart in an index of block style, as Helm writes it.
fn items(index: &str, name: &str) -> Vec<String> {
    let lines = index
        .lines()
        .skip_while(|line| line.trim_end() != "entries:");
    let mut items: Vec<String> = Vec::new();
    let (mut depth, mut inside) = (None, false);
    for line in lines.skip(1) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let depth = *depth.get_or_insert(indent);
        if indent < depth {
            break;
        }
        let is_item = content.starts_with("- ") || content == "-";
        if indent == depth && !is_item {
            let key = content.trim_end().trim_end_matches(':');
            inside = key.trim_matches(['"', '\'']) == name;
            continue;
        }
        if !inside {
            continue;
        }
        match items.last_mut() {
            // Deeper lists are parts of an item.
            Some(last) if !is_item || indent > indent_of(last) => {
                last.push_str(line);
                last.push('\n');
            }
            _ => items.push(format!("{line}\n")),
        }
    }
    items
}

fn indent_of(item: &str) -> usize {
    item.len() - item.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  cache:\n  - name: cache\n    version: 1.0.0\n    urls: [c.tgz]\n  redis:\n  - apiVersion: v2\n    dependencies:\n    - name: common\n      version: 2.0.0\n    digest: aa\n    urls:\n    - redis-2.0.1.tgz\n    version: 2.0.1\n  - urls:\n    - https://elsewhere.example/redis-2.0.0.tgz\n    version: \"2.0.0\"\ngenerated: x\n";

    fn found(index: &str, name: &str, version: &str) -> String {
        let of = ChartVersion {
            repository: "https://charts.example.com".into(),
            name: name.into(),
            version: version.into(),
        };
        match entry(index, &of) {
            Ok(entry) => entry["urls"][0].as_str().unwrap_or_default().into(),
            Err(why) => why,
        }
    }

    #[test]
    fn a_version_is_found_in_an_index() {
        let json = r#"{"entries": {"redis": [{"version": "v2.0.0", "urls": ["j.tgz"]}]}}"#;
        let shifted = |line: &str| match line.starts_with("  - ") || line.starts_with("    ") {
            true => format!("  {line}\n"),
            false => format!("{line}\n"),
        };
        let deeper: String = INDEX.lines().map(shifted).collect();
        for (index, name, version, expected) in [
            (INDEX, "redis", "2.0.1", "redis-2.0.1.tgz"),
            (
                INDEX,
                "redis",
                "v2.0.0",
                "https://elsewhere.example/redis-2.0.0.tgz",
            ),
            (INDEX, "cache", "1.0.0", "c.tgz"),
            (&deeper, "redis", "2.0.1", "redis-2.0.1.tgz"),
            (json, "redis", "2.0.0", "j.tgz"),
        ] {
            assert_eq!(found(index, name, version), expected, "{name} {version}");
        }
        for (index, name, version) in [
            (INDEX, "common", "2.0.0"),
            (INDEX, "redis", "2.0"),
            (json, "x", "2.0.0"),
            ("", "redis", "2.0.1"),
        ] {
            assert!(found(index, name, version).contains("has no version"));
        }
    }
}
