//! `windlass doctor`: what is wrong with an installation, and what to do about it.

use std::process::Command;

use windlass::sandbox::forge::state::{RequiredCheck, Rule};

use crate::github::on_main;
use crate::support::World;
use crate::support::lab::{has, has_not};

/// What it says with the settings of the world's windlass, and its exit code.
fn doctor(world: &World) -> (String, i32) {
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
            "✗ windlass.yaml of acme/config is not valid: ",
            "to mend",
        ],
    );
    has_not(&text, &["PRIVATE KEY"]);
    assert_eq!(code, 1);
}
