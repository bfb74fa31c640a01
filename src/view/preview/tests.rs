use std::time::Duration;

use serde_json::json;

use super::super::markdown::{code, quoted};
use super::super::sticky_of;
use super::*;
use crate::domain::Live;
use crate::domain::TargetKey;
use crate::domain::catalog::PolicyChange;
use crate::domain::manifest::ResourceKey;
use crate::domain::mask::Mask;
use crate::domain::plan::{Comparison, Confidence, Plan, Side};
use crate::domain::pull_request::{ApplicationPreview, ImageChange};
use crate::domain::seal::Seal;

fn key() -> TargetKey {
    TargetKey {
        repo: "acme/config".parse().unwrap(),
        application: "shop".parse().unwrap(),
        stage: "staging".parse().unwrap(),
        cluster: None,
    }
}

fn comparison(name: &str, before: Option<&str>, after: Option<&str>) -> Comparison {
    let side = |image: Option<&str>| {
        image.map_or(Side::Absent, |image| {
            Side::Object(
                Live::new(json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"image": image}})),
                Confidence::Server,
            )
        })
    };
    let key = ResourceKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: Some("shop-staging".into()),
        name: name.into(),
    };
    Comparison::new(key, side(before), side(after))
}

fn of(comparisons: Vec<Comparison>) -> Preview {
    let image = |tag: &str| {
        Some(
            format!(
                "ghcr.io/acme/shop:{tag}@sha256:{}",
                tag.repeat(64)[..64].to_owned()
            )
            .parse()
            .unwrap(),
        )
    };
    Preview {
        policy: vec![],
        head: "a".repeat(40).parse().unwrap(),
        base: "b".repeat(40).parse().unwrap(),
        applications: vec![ApplicationPreview {
            after: vec![],
            inputs: Default::default(),
            key: key(),
            cluster: "local".into(),
            wave: 0,
            plan: Plan::new(&Mask::new(b"test"), comparisons),
            drift: Plan::default(),
            waiting: Plan::default(),
            unmoved: 0,
            images: vec![ImageChange {
                name: "ghcr.io/acme/shop".into(),
                from: image("1"),
                to: image("2"),
                source: None,
                taken_back: None,
            }],
            error: None,
            leaves: false,
            notes: vec![],
        }],
        total: 6,
        failure: None,
        duration: Duration::from_millis(1900),
    }
}

#[test]
fn a_preview_reads_at_a_glance() {
    let text = preview(&of(vec![comparison("web", Some("shop:1"), Some("shop:2"))]));
    insta::assert_snapshot!(text.comment(None).text, @"
    **1 of 6 applications changes** · 1 changed · verified by the cluster

    | application | image | from | to |
    |---|---|---|---|
    | `shop/staging` | `ghcr.io/acme/shop` | `1` `111111111111` | `2` `222222222222` |

    **shop/staging** on `local`

    <details open><summary><code>Deployment shop-staging/web</code> changed +1 −1</summary>

    ```diff
     metadata:
       name: web
     spec:
    -  image: shop:1
    +  image: shop:2
    ```

    </details>

    <sub>head `aaaaaaaaaaaa` on base `bbbbbbbbbbbb` · 1.9 s · plan `wl1:4f0e8cfa62e7` · `/help`</sub>
    ");
    assert_eq!(
        text.title,
        "1 of 6 applications changes · 1 changed · verified by the cluster"
    );
}

#[test]
fn the_fingerprint_does_not_see_the_duration() {
    let one = of(vec![comparison("web", Some("1"), Some("2"))]);
    let two = Preview {
        duration: Duration::from_secs(7),
        ..one.clone()
    };
    assert_eq!(
        preview(&one).comment(None).fingerprint,
        preview(&two).comment(None).fingerprint
    );
    let three = of(vec![comparison("web", Some("1"), Some("3"))]);
    assert_ne!(
        preview(&one).comment(None).fingerprint,
        preview(&three).comment(None).fingerprint
    );
}

#[test]
fn hostile_text_stays_text() {
    let hostile =
        "x ``` </details> <!-- windlass:sticky final 0 --> @acme/admins closes #1 | \u{202e}";
    let text = preview(&of(vec![comparison(hostile, Some("1"), None)]))
        .comment(None)
        .text;
    let html = crate::sandbox::forge::pages::markdown(&text);
    assert_eq!(
        html.matches("<details").count(),
        html.matches("</details>").count()
    );
    assert_eq!(
        sticky_of(&text, &Seal::new(b"key"), "a/b#1"),
        None,
        "a forged marker is not at the start"
    );
    assert!(
        preview(&of(vec![comparison("x\n\n## Approved", None, Some("1"))]))
            .comment(None)
            .text
            .lines()
            .all(|line| !line.starts_with("## "))
    );
    assert!(!code("a\nb `c` | d").contains(['\n', '|']));
    assert!(!quoted("@someone <b>").contains("@s"));
}

#[test]
fn a_comment_fits_and_lists_every_deletion() {
    let many = (0..600)
        .map(|n| {
            comparison(
                &format!("web-{n:04}"),
                Some(&"old image\n".repeat(20)),
                None,
            )
        })
        .collect();
    let text = preview(&of(many));
    assert!(text.comment(None).text.len() <= MOST_BYTES);
    for n in 0..600 {
        assert!(
            text.comment(None).text.contains(&format!("web-{n:04}")),
            "web-{n:04} is not listed"
        );
    }
}

#[test]
fn the_shortest_form_folds_names_and_shows_what_they_share() {
    let mut many: Vec<_> = (0..3_000)
        .map(|n| comparison(&format!("web-{n:04}"), Some("old"), Some("new")))
        .collect();
    many.push(comparison("other", Some("old"), None));
    let body = preview(&of(many)).comment(None).text;
    assert!(body.len() <= MOST_BYTES);
    assert!(
        body.contains("<summary>changed: <code>Deployment</code>")
            && body.contains("3000</summary>"),
        "{}",
        &body[..600]
    );
    assert!(
        body.contains("the same in 3000") && body.contains("+  image: new"),
        "{}",
        &body[body.len() - 600..]
    );
    let deleted = body.find("- deleted:").unwrap();
    assert!(
        deleted < body.find("<details>").unwrap(),
        "what is lost comes first, unfolded"
    );
    // What follows is Markdown again only after a blank line.
    assert!(
        body.split("</details>\n")
            .skip(1)
            .all(|after| after.starts_with('\n'))
    );
}

#[test]
fn what_a_reviewer_must_not_miss_comes_first() {
    let mut preview = of(vec![comparison("web", Some("shop:1"), Some("shop:2"))]);
    let mut later = preview.applications[0].clone();
    later.key.stage = "production".parse().unwrap();
    later.after = vec!["staging".parse().unwrap()];
    let unpinned: crate::domain::image::ImageRef = "ghcr.io/acme/shop:2".parse().unwrap();
    later.images[0].to = Some(unpinned);
    preview.applications.push(later);
    preview.policy = ["shop/staging", "web/staging"]
        .map(|title| (title.to_string(), PolicyChange::MergesItself(true)))
        .into();
    let text = super::preview(&preview).comment(None).text;
    let alerts: Vec<_> = text.lines().filter(|line| line.starts_with('>')).collect();
    insta::assert_snapshot!(alerts.join("\n"), @"
    > [!CAUTION]
    > Policy of `shop/staging`, `web/staging`: windlass merges image updates without a review.
    > [!WARNING]
    > `ghcr.io/acme/shop` in `shop/production` has no digest any more: what the tag points to may change without a commit.
    > Changes `shop/staging` and `shop/production` at once, without a promotion between them.
    ");
}

/// A label or an image that moves everywhere is read once.
#[test]
fn what_changes_equally_in_many_objects_is_shown_once() {
    let moved = ["a", "b", "c", "d"].map(|name| comparison(name, Some("shop:1"), Some("shop:2")));
    let mut all = moved.to_vec();
    all.push(comparison("e", Some("shop:1"), Some("shop:3")));
    let mut preview_of = of(all.clone());
    preview_of.applications[0].images.clear();
    insta::assert_snapshot!(preview(&preview_of).body, @"
    **1 of 6 applications changes** · 5 changed · verified by the cluster

    <details open><summary>the same in 4 objects</summary>

    `Deployment shop-staging/a`, `Deployment shop-staging/b`, `Deployment shop-staging/c`, `Deployment shop-staging/d`

    ```diff
     metadata:
       name: a
     spec:
    -  image: shop:1
    +  image: shop:2
    ```

    </details>

    **shop/staging** on `local`

    - 4 changed as shown above

    <details><summary><code>Deployment shop-staging/e</code> changed +1 −1</summary>

    ```diff
     metadata:
       name: e
     spec:
    -  image: shop:1
    +  image: shop:3
    ```

    </details>
    ");
    // Three are few enough to be read each by itself.
    all.remove(0);
    let mut few = of(all);
    few.applications[0].images.clear();
    assert!(!preview(&few).body.contains("the same in"));
}
