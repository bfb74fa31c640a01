use proptest::prelude::*;

use super::image::set_where;
use super::*;
use crate::domain::fieldset::FieldPath;
use crate::domain::image::{Candidate, Digest};
use crate::domain::yaml;

pub(super) fn candidate(tag: &str) -> Candidate {
    Candidate {
        image: "ghcr.io/acme/shop".into(),
        digest: format!("sha256:{}", "b".repeat(64)).parse().unwrap(),
        tag: tag.parse().unwrap(),
        commit: "c".repeat(40).parse().unwrap(),
        source: "acme/shop".parse().unwrap(),
    }
}

/// What a text of the tests is: manifests have a kind.
fn kind_of(text: &str) -> Kind {
    match text.contains("kind: ") {
        true => Kind::Manifests,
        false => Kind::Kustomization,
    }
}

fn set_in(text: &str, candidate: &Candidate) -> Result<Option<String>, EditError> {
    set_where(text, kind_of(text), candidate, &|_| true)
}

/// The digest at each place where a text sets an image.
fn digests(text: &str, image: &str) -> Result<Vec<Option<Digest>>, EditError> {
    let places = super::image::places_in(text, kind_of(text), image)?;
    Ok(places.into_iter().map(|place| place.digest).collect())
}

/// The lines that an edit takes away and puts in.
fn changed(text: &str, tag: &str) -> String {
    let edited = set_in(text, &candidate(tag))
        .unwrap()
        .expect("the file uses the image");
    similar::TextDiff::from_lines(text, &edited)
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| {
            format!(
                "{}{}",
                change.tag(),
                change
                    .value()
                    .replace(&"b".repeat(64), "BBB")
                    .replace(&"a".repeat(64), "AAA")
            )
        })
        .collect()
}

#[test]
fn a_kustomization_gets_tag_and_digest() {
    let text = "# ours\nresources: [../base]\nimages:\n  - name: other\n    newTag: v9\n  - name: ghcr.io/acme/shop   # the shop\n    newTag: \"v1\" # now\n";
    assert_eq!(
        changed(text, "v2"),
        "-    newTag: \"v1\" # now\n+    newTag: \"v2\" # now\n+    digest: sha256:BBB\n"
    );
    assert_eq!(
        changed(
            "images:\n- name: ghcr.io/acme/shop\n  digest: sha256:0\n",
            "v2"
        ),
        "-  digest: sha256:0\n+  newTag: v2\n+  digest: sha256:BBB\n"
    );
    assert_eq!(
        changed("images:\n- {name: ghcr.io/acme/shop, newTag: v1}\n", "v2"),
        "-- {name: ghcr.io/acme/shop, newTag: v1}\n+- {name: ghcr.io/acme/shop, newTag: v2, digest: sha256:BBB}\n"
    );
    assert_eq!(
        changed(
            "images:\r\n- name: x\r\n  newName: ghcr.io/acme/shop\r\n",
            "v2"
        )
        .replace('\r', "~"),
        "+  newTag: v2~\n+  digest: sha256:BBB~\n"
    );
}

#[test]
fn fields_of_an_object_are_set_where_it_stands() {
    let text = "# ours\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2 # two\n  template:\n    spec:\n      containers:\n        - name: a\n          image: a:1\n        - {name: b, image: 'b:1'}\n---\nkind: Service\nmetadata: {name: web}\n";
    let path = |text: &str| FieldPath::parse(text).unwrap();
    let set = |fields: &[(FieldPath, Value)]| set_fields(text, "Deployment", "web", fields);
    let edited = set(&[
        (path(".spec.replicas"), 5.into()),
        (
            path(".spec.template.spec.containers[name=\"b\"].image"),
            "b:2".into(),
        ),
        (path(".spec.paused"), true.into()),
    ]);
    let edited = edited.unwrap().unwrap();
    let lines: Vec<_> = similar::TextDiff::from_lines(text, &edited)
        .iter_all_changes()
        .filter(|change| change.tag() != similar::ChangeTag::Equal)
        .map(|change| format!("{}{}", change.tag(), change.value().trim()))
        .collect();
    assert_eq!(
        lines,
        [
            "-replicas: 2 # two",
            "+replicas: 5 # two",
            "+paused: true",
            "-- {name: b, image: 'b:1'}",
            "+- {name: b, image: 'b:2'}"
        ]
    );
    assert_eq!(set_fields(text, "Deployment", "other", &[]), Ok(None));
    assert!(set(&[(path(".spec.strategy.type"), "Recreate".into())]).is_err());
}

#[test]
fn a_tag_that_reads_as_a_number_is_quoted() {
    assert_eq!(
        changed(
            "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n  digest: x\n",
            "1.10"
        ),
        "-  newTag: v1\n-  digest: x\n+  newTag: \"1.10\"\n+  digest: sha256:BBB\n"
    );
    assert!(
        changed(
            "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n",
            "12e4567"
        )
        .contains("\"12e4567\"")
    );
}

#[test]
fn raw_image_fields_in_every_document() {
    let pod =
        "---\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: 'ghcr.io/acme/shop:v1'\n";
    let text = format!("kind: ConfigMap\ndata: {{a: ghcr.io/acme/shop}}\n{pod}{pod}");
    assert_eq!(
        changed(&text, "v2")
            .matches("+    image: 'ghcr.io/acme/shop:v2@sha256:BBB'")
            .count(),
        2
    );
    assert_eq!(
        set_in("kind: Pod\nspec: {image: other}\n", &candidate("v2")),
        Ok(None)
    );
}

#[test]
fn a_name_of_docker_hub_is_found_however_it_is_written_and_stays_so() {
    let hub = |image: &str| Candidate {
        image: image.into(),
        ..candidate("v2")
    };
    for announced in [
        "redis",
        "library/redis",
        "docker.io/library/redis",
        "index.docker.io/library/redis",
    ] {
        for written in [
            "redis",
            "library/redis",
            "docker.io/redis",
            "docker.io/library/redis",
        ] {
            let pod =
                format!("kind: Pod\nspec: {{containers: [{{name: a, image: \"{written}:7\"}}]}}\n");
            let edited = set_in(&pod, &hub(announced)).unwrap().unwrap();
            let digest = format!("sha256:{}", "b".repeat(64));
            assert!(
                edited.contains(&format!("image: \"{written}:v2@{digest}\"")),
                "{announced} in:\n{edited}"
            );
            assert_eq!(
                digests(&edited, announced).unwrap(),
                [Some(digest.parse().unwrap())]
            );
            let list = format!("images:\n- name: {written}\n  newTag: v1\n");
            assert_eq!(digests(&list, announced).unwrap(), [None]);
            let edited = set_in(&list, &hub(announced)).unwrap().unwrap();
            assert!(
                edited.contains(&format!("- name: {written}\n  newTag: v2\n")),
                "{edited}"
            );
        }
    }
    assert_eq!(
        set_in(
            "images:\n- name: ghcr.io/acme/redis\n  newTag: v1\n",
            &hub("redis")
        ),
        Ok(None)
    );
    assert_eq!(
        digests("kind: Pod\nspec: {image: other}\n", "redis"),
        Ok(vec![])
    );
}

#[test]
fn the_same_image_again_changes_nothing() {
    let text = "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n";
    let once = set_in(text, &candidate("v2")).unwrap().unwrap();
    assert_eq!(set_in(&once, &candidate("v2")).unwrap().unwrap(), once);
}

#[test]
fn what_cannot_be_proven_is_refused() {
    for text in [
        "a: &x v1\nimages:\n- name: ghcr.io/acme/shop\n  newTag: *x\n",
        "images:\n- name: ghcr.io/acme/shop\n  newTag: v1\n  newTag: v1\n",
        "images:\n- name: ghcr.io/acme/shop\n  newTag: {{ .tag }}\n",
        "images:\n- name: ghcr.io/acme/shop\n  newTag: &t v1\nother: *t\n",
    ] {
        assert!(set_in(text, &candidate("v2")).is_err(), "edited:\n{text}");
    }
}

proptest! {
    /// Whatever stands around it, the edit changes only the image's two lines and reads back as
    /// intended.
    #[test]
    fn only_the_span_changes(
        before in proptest::collection::vec("# [ -~]{0,20}|k[a-z]{1,5}: [a-z]{1,8}|", 0..4),
        indent in 0usize..4, quote in 0usize..3, tag in "[a-z][a-z0-9.]{0,8}|[0-9]{1,3}\\.[0-9]{1,3}", comment in "| # [a-z ]{0,9}",
    ) {
        let mut seen = std::collections::HashSet::new();
        let before: Vec<_> = before.into_iter().filter(|line| seen.insert(line.split(':').next().unwrap_or("").to_string()) || line.is_empty()).collect();
        let q = ["", "'", "\""][quote];
        let pad = " ".repeat(indent);
        let text = format!(
            "{}\nimages:\n{pad}- name: ghcr.io/acme/shop\n{pad}  newTag: {q}old{q}{comment}\n{pad}  digest: sha256:{}\ntail: 1\n",
            before.join("\n"), "a".repeat(64)
        );
        let edited = set_in(&text, &candidate(&tag)).unwrap().unwrap();
        let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
        let (old, new) = (lines(&text), lines(&edited));
        prop_assert_eq!(old.len(), new.len());
        let differ = old.iter().zip(&new).filter(|(a, b)| a != b).count();
        prop_assert!((1..=2).contains(&differ));
        let read = yaml::documents(&edited).unwrap();
        prop_assert_eq!(&read[0]["images"][0]["newTag"], &Value::String(tag));
    }
}
