//! What a reviewer reads at the sizes that people have, and of hostile text.
//! `make bench BENCH=looks` leaves pictures of the same.

use crate::support::lab::{CONFIG, Lab, has, has_not};

/// GitHub takes comments of 65,536 characters; windlass stays below that.
const MOST_BYTES: usize = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_stays_where_it_is() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let hostile = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hostile\n  annotations:\n    a: \"@acme/everyone fixes #1 </details></summary><script>alert(1)</script>\"\n    b: \"```\\n<!-- windlass:sticky final x -->\\n````\\n| a | b |\"\ndata: {a: \"<img src=x onerror=alert(1)> \\u202egnp.exe\"}\n";
    let refused = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused}\ndata: {\"<img src=x onerror=alert(1)>\": x}\n";
    let (_, text) = lab
        .change(
            "hostile",
            &[
                ("hostile.yaml", Some(hostile)),
                ("refused.yaml", Some(refused)),
            ],
        )
        .await;
    has(
        &text,
        &[
            "1 created",
            "**1 cannot be applied**",
            "`````diff",
            "a valid config key must consist of",
        ],
    );
    has_not(&text, &["\u{202e}"]);
    let markers = text.lines().filter(|line| line.starts_with("<!--")).count();
    assert_eq!(
        (markers, text.starts_with("<!-- windlass:sticky ")),
        (1, true),
        "{text}"
    );
    let mut page = String::new();
    pulldown_cmark::html::push_html(
        &mut page,
        pulldown_cmark::Parser::new_ext(&text, pulldown_cmark::Options::all()),
    );
    has(&page, &["&lt;script&gt;", "&lt;img src=x"]);
    has_not(&page, &["<script", "<img"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_objects_in_six_applications_are_a_table_and_closed_folds() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let applications = [
        "billing", "catalog", "checkout", "emails", "payments", "search",
    ];
    let files: Vec<_> = applications
        .iter()
        .map(|name| {
            let namespace = lab.world.namespace(&format!("{name}-staging"));
            let space =
                format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
            let objects: String = (0..7)
                .map(|n| {
                    format!(
                        "---\n{}",
                        CONFIG.replace("name: lab", &format!("name: c{n}"))
                    )
                })
                .collect();
            (format!("apps/{name}/staging/all.yaml"), space + &objects)
        })
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let number = lab.world.propose("bob", "forty", &files);
    lab.world.previewed(number).await;
    let text = lab.world.conversation(number);
    has(
        &text,
        &["**6 of ", "48 created", "partly verified by the cluster"],
    );
    for name in applications {
        has(
            &text,
            &[&format!(
                "| `{name}/staging` | `local` | 8 created | ◐ estimate |"
            )],
        );
    }
    has_not(&text, &["<details open>"]);
}

/// More than one stream of a YAML library holds by default, and than a comment can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_objects_are_named_in_a_fold_and_told_in_pages() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let many: String = (0..1_100)
        .map(|n| {
            format!(
                "---\n{}",
                CONFIG.replace("name: lab", &format!("name: object-{n:04}"))
            )
        })
        .collect();
    let (number, text) = lab.change("many", &[("many.yaml", Some(&many))]).await;
    has(
        &text,
        &[
            "1100 created",
            "read it in the check run `windlass/preview`",
            "<summary>created: <code>ConfigMap</code>",
            ": 1100</summary>",
        ],
    );
    has(&text, &["`object-0000`", "`object-1099`"]);
    assert!(text.len() <= MOST_BYTES, "{}", text.len());
    let runs = lab
        .world
        .read(&format!("commits/{}/check-runs", lab.world.head(number)));
    let names: Vec<_> = runs["check_runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|run| run["name"].as_str())
        .collect();
    assert!(
        names.contains(&"windlass/preview") && names.contains(&"windlass/preview page 2"),
        "{names:?}"
    );
}
