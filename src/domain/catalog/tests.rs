//! `windlass.yaml`, read and expanded over the directories of a tree.

use super::*;

const EXAMPLE: &str = "\
version: 1
stages:
  staging: { cluster: local, merge: auto }
  production: { cluster: local, after: [staging], gates: { approvals: 1 } }
applications:
  - path: apps/{application}/{stage}
    namespace: \"{application}-{stage}\"
    images:
      ghcr.io/Acme/{application}: { source: acme/{application} }
  - name: platform
    path: platform/{stage}
    namespace: platform-{stage}
";

#[test]
fn directories_become_targets_by_the_first_rule_that_matches() {
    let catalog = Catalog::parse(EXAMPLE).unwrap();
    let found = catalog
        .expand(&Tree::of([
            "apps/shop/staging",
            "apps/shop/base",
            "apps/shop",
            "platform/staging",
            "apps/shop/production",
            "x",
        ]))
        .unwrap();
    let read: Vec<_> = found
        .iter()
        .map(|t| {
            (
                t.path.as_str(),
                t.application.as_str(),
                t.destination.namespace.as_str(),
            )
        })
        .collect();
    assert_eq!(
        read,
        [
            ("platform/staging", "platform", "platform-staging"),
            ("apps/shop/staging", "shop", "shop-staging"),
            ("apps/shop/production", "shop", "shop-production"),
        ]
    );
    assert_eq!(
        found[1].images,
        [ImageRule {
            image: "ghcr.io/acme/shop".into(),
            source: "acme/shop".parse().unwrap(),
            at: vec![],
            workflow: None,
            refs: vec![],
        }]
    );
    assert_eq!(found[0].stage.name.as_str(), "staging");
    let same = catalog.expand(&Tree::of(["apps/Shop/staging", "apps/shop/staging"]));
    assert!(same.unwrap_err().0.contains("are both shop/staging"));
    // A long name is cut.
    let long = format!("apps/{}/staging", "data-import".repeat(5));
    let found = catalog.expand(&Tree::of([long.as_str()])).unwrap();
    assert_eq!(
        found[0].application.as_str(),
        "data-importdata-importdata-im-1c4e7c66db"
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_told_with_what_is_near() {
    let unmatched = |directories: &[&str]| {
        let tree = Tree::of(directories.iter().copied());
        Catalog::parse(EXAMPLE).unwrap().unmatched(&tree)
    };
    assert_eq!(
        unmatched(&["apps", "apps/shop", "apps/shop/staging", "platform/staging"]),
        [""; 0]
    );
    assert_eq!(
        unmatched(&[
            "app",
            "app/shop",
            "app/shop/staging",
            "docs",
            "platform/prod"
        ]),
        [
            "windlass.yaml: `apps/{application}/{stage}` matches no directory; the nearest is `app/shop/staging`",
            "windlass.yaml: `platform/{stage}` matches no directory; the nearest is `platform/prod`"
        ]
    );
    assert_eq!(
        unmatched(&["x"])[0],
        "windlass.yaml: `apps/{application}/{stage}` matches no directory"
    );
}

#[test]
fn in_the_place_of_a_stage_that_is_skipped_come_those_before_it() {
    let stages = "  qa: { cluster: local, after: [staging] }\n  production: { cluster: local, after: [qa, staging] }\n";
    let text = EXAMPLE.replace(
        "  production: { cluster: local, after: [staging], gates: { approvals: 1 } }\n",
        stages,
    );
    let table = [
        (&["staging", "qa", "production"][..], "qa staging"),
        (&["staging", "production"], "staging"),
        (&["qa", "production"], "qa"),
        // It begins there.
        (&["production"], ""),
    ];
    for (there, expected) in table {
        let paths: Vec<_> = there
            .iter()
            .map(|stage| format!("apps/shop/{stage}"))
            .collect();
        let targets = Catalog::parse(&text)
            .unwrap()
            .expand(&Tree::of(paths.iter().map(String::as_str)))
            .unwrap();
        let after: Vec<_> = targets
            .last()
            .unwrap()
            .stage
            .after
            .iter()
            .map(Name::as_str)
            .collect();
        assert_eq!(after.join(" "), expected, "{there:?}");
    }
}

/// Each text, with what the error shows.
fn refused<'a>(table: impl IntoIterator<Item = (String, Vec<&'a str>)>) {
    for (text, expected) in table {
        let Err(Invalid(error)) =
            Catalog::parse(&text).and_then(|c| c.expand(&Tree::of(["apps/shop/staging"])))
        else {
            panic!("accepted:\n{text}")
        };
        for part in expected {
            assert!(error.contains(part), "`{part}` is not in:\n{error}");
        }
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    refused([
        (
            EXAMPLE.replace("merge: auto", "mege: auto"),
            vec!["windlass.yaml", "line 3", "^", "did you mean `merge`?"],
        ),
        (
            EXAMPLE.replace("merge: auto", "merge: atuo"),
            vec!["did you mean `auto`?"],
        ),
        (
            EXAMPLE.replace("version: 1", "version: 2"),
            vec!["version 2 is not supported"],
        ),
        (
            EXAMPLE.replace("    images:", "    drift: ignore\n    images:"),
            vec!["unknown variant"],
        ),
        (
            EXAMPLE.replace("merge: auto", "reconcile: { by: argo }"),
            vec!["did you mean `argocd`?"],
        ),
    ]);
}

#[test]
fn paths_and_stages_that_cannot_be_are_refused() {
    refused([
        (
            EXAMPLE.replace("[staging]", "[stagin]"),
            vec!["not a stage above"],
        ),
        (
            EXAMPLE.replace("platform/{stage}", "platform"),
            vec!["has no `{stage}`: add `stage: staging`"],
        ),
        (
            EXAMPLE.replace("platform/{stage}", "platform\n    stage: prod"),
            vec!["`stage: prod` is none of the stages"],
        ),
        (
            EXAMPLE.replace("platform/{stage}", "platform/{stage}\n    stage: staging"),
            vec!["keep one"],
        ),
        (
            EXAMPLE.replace("namespace: platform-{stage}", "namespace: \"{team}\""),
            vec!["`{team}`: the path `platform/{stage}` has no `{team}`"],
        ),
        (
            EXAMPLE.replace("  - name: platform\n    path", "  - path"),
            vec!["names no application"],
        ),
        (
            EXAMPLE.replace("apps/{application}", "../{application}"),
            vec!["relative to the repository's root"],
        ),
        (
            EXAMPLE.replace("apps/{application}", "apps/{}"),
            vec!["`{}` is not a placeholder"],
        ),
    ]);
}

#[test]
fn dependencies_and_rules_that_cannot_be_are_refused() {
    refused([
        (
            EXAMPLE
                .replace(
                    "  - name: platform\n",
                    "  - name: platform\n    dependsOn: [shop]\n",
                )
                .replace("    images:", "    dependsOn: [platform]\n    images:"),
            vec!["`platform`, which has no stage"],
        ),
        (
            EXAMPLE.replace("    images:", "    dependsOn: [shop]\n    images:"),
            vec!["depend on each other: shop/staging → shop/staging"],
        ),
        (
            EXAMPLE.replace(
                "applications:",
                "health: [{ group: a.b, kind: C, healthy: 'self.x ==' }]\napplications:",
            ),
            vec!["health of C", "not a CEL expression"],
        ),
        (
            EXAMPLE.replace(
                "applications:",
                "health: [{ group: apps, kind: Deployment, healthy: 'true' }]\napplications:",
            ),
            vec!["not a group of custom kinds"],
        ),
        (
            EXAMPLE.replace("    images:", "    ignore: [{ path: spec }]\n    images:"),
            vec!["not a field's path"],
        ),
    ]);
}

#[test]
fn the_gates_of_a_stage_are_read() {
    let flow = "gates: { approvals: 1 } }";
    let gates = "gates: {
    soak: 30m,
    windows: [
      { days: mon-fri, from: \"09:00\", to: \"16:00\", zone: Europe/Berlin },
      { from: 22:00, to: 24:00 },
    ],
    freezes: [{ from: 2026-12-20, until: 2027-01-04, zone: Europe/Berlin, reason: Holidays }],
    breakGlass: [ada, acme/oncall],
  } }";
    let catalog = Catalog::parse(&EXAMPLE.replace(flow, gates)).unwrap();
    let stage = &catalog.stages[1];
    assert_eq!(stage.soak, Duration::from_secs(1800));
    assert_eq!(stage.calendar.windows.len(), 2);
    assert_eq!(
        stage.calendar.freezes[0].reason.as_deref(),
        Some("Holidays")
    );
    let names: Vec<_> = stage.break_glass.iter().map(Approver::to_string).collect();
    assert_eq!(names, ["ada", "acme/oncall"]);
    assert_eq!(catalog.stages[0].calendar, Calendar::default());
}

#[test]
fn gates_that_cannot_be_are_refused() {
    let with = |gates: &str| EXAMPLE.replace("approvals: 1", gates);
    refused([
        (
            with("soak: soon"),
            vec!["stage `production`: soak: `soon` is not a duration: write 90s"],
        ),
        (
            with("windows: [{ days: mo-fr, from: '09:00', to: '16:00' }]"),
            vec!["stage `production`: windows: `mo-fr` is no day"],
        ),
        (
            with("windows: [{ from: '09:00', to: '16:00', zone: Berlin }]"),
            vec!["windows: `Berlin` is not a time zone: write an IANA name such as Europe/Berlin"],
        ),
        (
            with("windows: [{ from: '09:00', until: '16:00' }]"),
            vec!["unknown field `until`"],
        ),
        (
            with("freezes: [{ from: 2027-01-04, until: 2026-12-20 }]"),
            vec!["stage `production`: freezes: the freeze ends at 2026-12-20"],
        ),
        (
            with("approvals: many"),
            vec!["string \"many\", expected a whole number, such as 1"],
        ),
        (
            with("approvals: -1"),
            vec!["`-1`, expected a whole number, such as 1"],
        ),
        (
            with("breakGlass: [CODEOWNERS]"),
            vec!["breakGlass: `CODEOWNERS` is nobody"],
        ),
    ]);
}
