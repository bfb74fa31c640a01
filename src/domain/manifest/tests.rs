//! Documents, read and refused.

use super::*;

#[test]
fn lists_are_taken_apart_and_namespaces_settled() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b, namespace: x}}\n";
    let mut read = Manifest::parse_all(text, "f").unwrap();
    read[0].normalise(true, "shop");
    read[1].normalise(true, "shop");
    assert_eq!(read[0].key.to_string(), "ConfigMap shop/a");
    assert_eq!(
        (read[1].key.to_string().as_str(), read[1].key.group.as_str()),
        ("Deployment x/b", "apps")
    );
    read[0].value["number"] = serde_json::json!([0.1, 1e300, 9_007_199_254_740_993_u64, -1]);
    let mut again = Manifest::restore(&Manifest::store(&read)).unwrap();
    again[0].key = read[0].key.clone();
    assert_eq!(again, read);
    assert!(
        Manifest::parse_all("kind: ConfigMap\n", "f.yaml")
            .unwrap_err()
            .0
            .starts_with("f.yaml: a document has no apiVersion")
    );
}

proptest::proptest! {
    /// What names an object becomes part of URLs, log lines and comments.
    #[test]
    fn no_byte_of_a_name_needs_escaping(name in "(?s).{0,20}|[a-z./?#%&:@ \n`|<-]{1,20}", kind in "(?s).{0,12}|[A-Za-z/?# ]{1,12}", group in "(?s).{0,12}|[a-z./?#]{1,12}", namespace in "(?s).{0,12}|[a-z-]{1,12}") {
        let document = serde_json::json!({
            "apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": name, "namespace": namespace},
        });
        let mut found = Vec::new();
        if collect(document, "f", &|_| {}, &mut found).is_ok() {
            for Manifest { key, version, .. } in found {
                let text = format!("{} {} {} {} {}", key.group, key.kind, key.namespace.as_deref().unwrap_or_default(), key.name, version);
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@+ ".contains(c);
                proptest::prop_assert!(text.chars().all(plain), "{text}");
                proptest::prop_assert!(key.name != ".." && key.name != ".");
            }
        }
    }
}
