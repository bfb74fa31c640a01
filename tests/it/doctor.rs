//! `windlass doctor`: what is wrong with an installation, and what to do about it.

use std::process::Command;

use windlass::sandbox::forge::state::{RequiredCheck, Rule};

use crate::github::on_main;
use crate::support::World;
use crate::support::lab::{CONFIG, Lab, has, has_not};
use crate::support::webhook::Webhook;
use crate::webhooks::install;

/// What it says with the settings of the world's windlass, and its exit code.
pub fn doctor(world: &World) -> (String, i32) {
    let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .arg("doctor")
        .args(world.windlass.settings())
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    (world.scrub(&(text + &errors)), said.status.code().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_examined_and_nothing_is_changed() {
    let world = World::new().await;
    world.quiet().await;
    let app = world.forge.state().app.id;
    on_main(
        &world,
        Rule {
            status_checks: vec![RequiredCheck {
                context: "windlass/gate".into(),
                integration_id: Some(app),
            }],
            ..Rule::default()
        },
    );
    let (text, code) = doctor(&world);
    insta::assert_snapshot!(text, @"
    ✓ kustomize and helm run in their jail
    ✓ GitHub knows the App as windlass[bot]
    ✓ no webhook delivery failed lately
    ✓ acme/config has 2 applications in their stages
    ✓ acme/config: main requires windlass/gate
    ✓ the cluster local answers
    ✓ windlass may apply Deployments and ConfigMaps in 2 namespaces of local

    nothing to mend
    ");
    assert_eq!(code, 0);
    // What is wrong is said with what to do.
    {
        let mut state = world.forge.state();
        let app = &mut state.app;
        app.permissions.remove("checks");
        app.events.retain(|event| event != "status");
        state.ahead = jiff::SignedDuration::from_secs(-40);
    }
    let invalid = world
        .file("windlass.yaml")
        .replace("version: 1", "version: 7");
    world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "Wrong",
            &[("windlass.yaml", Some(&invalid))],
        )
        .unwrap();
    let (text, code) = doctor(&world);
    has(
        &text,
        &[
            "✗ the App lacks permissions: checks: write",
            "✗ the App hears no events: status",
            "s ahead of GitHub's\n    set it by NTP",
            "✗ windlass.yaml of acme/config is not valid: ",
            "to mend",
        ],
    );
    has_not(&text, &["PRIVATE KEY"]);
    assert_eq!(code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_webhooks_in_the_way_are_named() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let webhook = Webhook::start(|request| match request["dryRun"] == true {
        true => Err("this webhook does not support dry-run requests".into()),
        false => Ok(serde_json::json!([])),
    })
    .await;
    let kind = "ValidatingWebhookConfiguration";
    let _installed = install(&lab, &webhook, kind, "", "configmaps").await;
    let (text, code) = doctor(&lab.world);
    has(
        &text,
        &[
            "! ConfigMaps in the namespace lab-staging of local cannot be dry-run: ",
            "NoneOnDryRun",
        ],
    );
    has_not(&text, &["Deployments in the namespace"]);
    assert_eq!(code, 0, "{text}");
    drop(webhook);
    let (text, code) = doctor(&lab.world);
    has(
        &text,
        &[
            "✗ ConfigMaps in the namespace lab-staging of local can be neither previewed nor applied: ",
        ],
    );
    assert_eq!(code, 1);
}
