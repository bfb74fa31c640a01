//! The table of wake-ups, row by row.

use super::*;
use crate::controller::Configured;
use crate::domain::catalog::{Catalog, Fleet, Tree};
use crate::github::Repository;

fn repo() -> RepoName {
    "acme/config".parse().unwrap()
}

/// `shop/staging` or `shop/live/eu`.
fn key(title: &str) -> TargetKey {
    let mut names = title.split('/').map(|name| name.parse().unwrap());
    TargetKey {
        repo: repo(),
        application: names.next().unwrap(),
        stage: names.next().unwrap(),
        cluster: names.next(),
    }
}

fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

fn base() -> Arc<Base> {
    let text = "version: 1\nstages:\n  staging: {cluster: local}\n  production: {cluster: local, after: [staging]}\napplications:\n  - {path: 'web/{application}/{stage}', namespace: x, dependsOn: [db]}\n  - {path: '{application}/{stage}', namespace: x}\n";
    let paths = [
        "db/staging",
        "db/production",
        "web/shop/staging",
        "web/shop/production",
    ];
    base_of(text, &paths)
}

fn base_of(text: &str, paths: &[&str]) -> Arc<Base> {
    let catalog = Catalog::parse(text).and_then(|catalog| catalog.on(&Fleet::default()));
    let catalog = catalog.unwrap();
    let targets = catalog.expand(&Tree::of(paths.iter().copied())).unwrap();
    Arc::new(Base {
        repo: Repository {
            id: 1,
            node_id: String::new(),
            name: repo(),
            default_branch: "main".into(),
            clone_url: String::new(),
            html_url: String::new(),
            allow_merge_commit: None,
            allow_squash_merge: None,
            allow_rebase_merge: None,
            archived: false,
            private: true,
            installation: 1,
            renamed_to: None,
        },
        configuration: Some(Ok(Configured {
            catalog,
            targets,
            is_drafted: false,
        })),
        commit: sha('a'),
    })
}

fn application(title: &str) -> Key {
    Key::Application(key(title))
}

fn promotion(title: &str) -> Key {
    Key::Promotion(key(title).of_stage())
}

fn pull(number: u64) -> Key {
    super::pull(&repo(), number)
}

fn commit(digit: char) -> Key {
    super::commit(&repo(), &sha(digit))
}

/// Each row: what happened, and who is woken.
fn check(table: Vec<(Event, Vec<Key>)>) {
    check_in(base(), table);
}

fn check_in(base: Arc<Base>, table: Vec<(Event, Vec<Key>)>) {
    let world = World {
        bases: &[base],
        owner: &|label| (label == "label").then(|| key("shop/staging")),
        unfinished: &|_| {
            vec![CommitKey {
                repo: repo(),
                commit: sha('f'),
            }]
        },
        open_pulls: &|_| {
            vec![PullRequestKey {
                repo: repo(),
                number: 9,
            }]
        },
    };
    for (row, (event, expected)) in table.into_iter().enumerate() {
        assert_eq!(wakes(&event, &world), expected, "row {row}");
    }
}

#[test]
fn events_of_github_wake_what_they_name() {
    let branch = |branch: &str| Event::Branch {
        repo: repo(),
        branch: branch.into(),
    };
    let changed = PullRequestKey {
        repo: repo(),
        number: 7,
    };
    let merged = CommitKey {
        repo: repo(),
        commit: sha('d'),
    };
    check(vec![
        (Event::PullRequest(changed), vec![pull(7)]),
        (Event::Commit(merged), vec![commit('d')]),
        (
            branch("windlass/shop/staging"),
            vec![promotion("shop/staging")],
        ),
        (branch("somebodys"), vec![]),
        (
            Event::Candidate(key("shop/staging").of_stage()),
            vec![promotion("shop/staging")],
        ),
        (
            Event::Request(key("shop/staging")),
            vec![application("shop/staging")],
        ),
    ]);
}

#[test]
fn a_base_wakes_what_it_names_and_what_is_kept() {
    let event = Event::Base {
        base: base(),
        applications: vec![key("gone/staging")],
        promotions: vec![key("gone/production").of_stage()],
        pulls: vec![3],
    };
    let expected = vec![
        commit('a'),
        application("db/staging"),
        promotion("db/staging"),
        application("db/production"),
        promotion("db/production"),
        application("shop/staging"),
        promotion("shop/staging"),
        application("shop/production"),
        promotion("shop/production"),
        application("gone/staging"),
        promotion("gone/production"),
        pull(3),
    ];
    check(vec![(event, expected)]);
}

#[test]
fn objects_of_clusters_wake_their_application_and_its_dependents() {
    let object = |owner: &str| Event::Object {
        owner: owner.into(),
    };
    check(vec![
        (object("label"), vec![application("shop/staging")]),
        (object("another's"), vec![]),
        (
            Event::Application(key("db/staging")),
            vec![
                pull(9),
                application("shop/staging"),
                application("db/staging"),
                promotion("db/staging"),
            ],
        ),
        (Event::Holds(repo()), vec![pull(9)]),
        (Event::Freezes(repo()), vec![pull(9)]),
        (
            Event::Promotion(key("db/staging").of_stage()),
            vec![promotion("db/staging")],
        ),
    ]);
}

#[test]
fn progress_wakes_commits_pull_requests_and_later_stages() {
    let status = |title: &str, later_stages| Event::Status {
        key: key(title),
        commits: vec![sha('b'), sha('c')],
        later_stages,
    };
    let rollout = Event::Rollout {
        commit: CommitKey {
            repo: repo(),
            commit: sha('d'),
        },
        pulls: vec![1, 2],
    };
    check(vec![
        // An unfinished commit is woken by every change of a status.
        (
            status("shop/staging", false),
            vec![commit('b'), commit('c'), commit('f')],
        ),
        (
            status("db/staging", true),
            vec![
                commit('b'),
                commit('c'),
                commit('f'),
                application("shop/staging"),
                promotion("db/production"),
            ],
        ),
        (Event::Rollouts(repo()), vec![commit('f')]),
        (rollout, vec![pull(1), pull(2)]),
        (
            Event::Promoted(key("shop/staging").of_stage()),
            vec![promotion("shop/production")],
        ),
        (Event::Promoted(key("shop/production").of_stage()), vec![]),
    ]);
}

#[test]
fn a_cluster_wakes_itself_in_later_waves_and_dependents_in_the_same_cluster() {
    let text = "version: 1\nstages:\n  live: {clusters: {names: [eu, us], waves: [eu]}}\n  last: {after: [live]}\napplications:\n  - {path: 'web/{application}/{stage}', namespace: x, dependsOn: [db]}\n  - {path: '{application}/{stage}', namespace: x}\n";
    let paths = ["db/live", "db/last", "web/shop/live", "web/shop/last"];
    let status = |title: &str| Event::Status {
        key: key(title),
        commits: vec![],
        later_stages: true,
    };
    let table = [
        (
            status("db/live/eu"),
            vec![
                commit('f'),
                application("shop/live/eu"),
                application("db/live/us"),
                promotion("db/last"),
            ],
        ),
        (
            status("db/live/us"),
            vec![
                commit('f'),
                application("shop/live/us"),
                promotion("db/last"),
            ],
        ),
    ];
    check_in(base_of(text, &paths), table.into());
}

#[test]
fn an_object_of_another_reconciler_wakes_what_it_reconciles() {
    let text = "version: 1\nstages:\n  staging: {cluster: local, reconcile: {by: argocd, namespace: argocd}}\n  production: {cluster: eu, reconcile: {by: argocd, namespace: argocd, cluster: local}}\napplications:\n  - {path: '{application}/{stage}', namespace: x}\n";
    let base = base_of(text, &["db/staging", "db/production", "shop/staging"]);
    let changed = |cluster: &str, kind: &str, name: &str| Event::Reconciler {
        cluster: cluster.into(),
        object: ResourceKey {
            group: "argoproj.io".into(),
            kind: kind.into(),
            namespace: Some("argocd".into()),
            name: name.into(),
        },
    };
    check_in(
        base,
        vec![
            (
                changed("local", "Application", "db-staging"),
                vec![application("db/staging")],
            ),
            (
                changed("local", "Application", "db-production"),
                vec![application("db/production")],
            ),
            (changed("eu", "Application", "db-production"), vec![]),
            (changed("local", "AppProject", "db-staging"), vec![]),
            (changed("local", "Application", "others"), vec![]),
        ],
    );
}
